"""The service around the broker: runs that share it, and what an heir of a dead one is told."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from raypipe.core.options import BudgetOptions, QuotaOptions
from raypipe.quota import service as services
from raypipe.quota.broker import Refusal
from raypipe.quota.budget import Cost
from raypipe.quota.protocol import CallOutcome, CallRequest, Lease
from raypipe.quota.service import Batch, QuotaService, Reply, RunRegistration, Settled
from raypipe.quota.sessions import CallTally
from tests.unit.quota.desk import PRICE

NEED = CallRequest(100, 50)


def joining(run: str, max_tokens: int | None = None) -> RunRegistration:
    return RunRegistration(run, PRICE, BudgetOptions(max_tokens=max_tokens), Cost())


def service(max_in_flight: int = 64) -> QuotaService:
    return QuotaService(QuotaOptions(managed=False, max_in_flight=max_in_flight), 1.0)


class Process:
    """One process of a run: it says something, and takes its answers."""

    def __init__(self, of: QuotaService, run: str, worker: str = "worker") -> None:
        self.of, self.run, self.worker = of, run, worker
        self.said = 0

    async def says(
        self, *settled: Settled, asks: int = 0, saved: int = 0, again: bool = False
    ) -> list[Lease | Refusal]:
        self.said += not again
        wanted = {100 * self.said + number: NEED for number in range(asks)}
        batch = Batch(self.said, wanted, settled, saved)
        return list((await self.of.exchange(self.run, self.worker, batch)).answers.values())

    async def leased(self) -> int:
        [lease] = await self.says(asks=1)
        assert isinstance(lease, Lease)
        return lease.number

    async def settles(self, number: int, spent: CallOutcome) -> None:
        await self.says(Settled(number, NEED, spent))


def test_two_runs_share_the_calls_in_flight_and_nothing_else() -> None:
    async def play() -> None:
        one = service(max_in_flight=1)
        for run in ("first", "second"):
            await one.join(joining(run, max_tokens=200), CallTally(), 0)
        a, b = Process(one, "first", "a"), Process(one, "second", "b")
        number = await a.leased()
        assert await b.says(asks=1) == []
        await a.settles(number, CallOutcome(100, 40))
        [lease] = await b.says()
        assert isinstance(lease, Lease)
        await b.settles(lease.number, CallOutcome(100, 30))
        first, second = await one.totals("first"), await one.totals("second")
        assert (first.output_tokens, second.output_tokens) == (40, 30)
        [refused] = await a.says(asks=1)
        assert isinstance(refused, Refusal), "its budget"

    asyncio.run(play())


def test_a_stop_ends_the_waiting() -> None:
    async def play() -> None:
        one = service(max_in_flight=1)
        await one.join(joining("run"), CallTally(), 0)
        process = Process(one, "run")
        await process.leased()
        assert await process.says(asks=1) == []
        await one.stop("run", "asked to stop")
        assert await process.says() == [Refusal("left", "asked to stop")]

    asyncio.run(play())


def test_an_heir_counts_what_each_process_counted_once() -> None:
    async def play() -> None:
        first = service()
        life = await first.join(joining("run", max_tokens=1_000), CallTally(), 0)
        number = await Process(first, "run").leased()

        heir = service()
        tally = CallTally(Counter(calls=3, input_tokens=600, output_tokens=100), 0.25)
        heirs = await heir.join(joining("run", max_tokens=1_000), tally, life)
        assert heirs != life
        await heir.join(joining("run"), tally, heirs)
        process = Process(heir, "run")
        # It was in flight when the first one died.
        await process.settles(number, CallOutcome(120, 40))
        totals = await heir.totals("run")
        assert (totals.calls, totals.input_tokens, totals.output_tokens) == (4, 720, 140)
        assert totals.usd == pytest.approx(0.25 + (120 + 10 * 40) / 1e6)
        [refused] = await process.says(asks=1)
        assert isinstance(refused, Refusal), "860 of 1,000"

    asyncio.run(play())


def test_what_is_said_twice_counts_once() -> None:
    async def play() -> None:
        one = service()
        await one.join(joining("run"), CallTally(), 0)
        process = Process(one, "run")
        number = await process.leased()
        for again in (False, True):
            said = Settled(number, NEED, CallOutcome(100, 40))
            await process.says(said, saved=2, asks=1, again=again)
        await process.settles(number, CallOutcome(100, 40))
        totals = await one.totals("run")
        assert (totals.calls, totals.in_flight, totals.cached_calls) == (1, 1, 2)

    asyncio.run(play())


def test_an_answer_is_told_until_it_has_arrived() -> None:
    async def play() -> None:
        one = service()
        await one.join(joining("run"), CallTally(), 0)
        process = Process(one, "run")
        told = await process.says(asks=2)
        assert len(told) == 2
        assert await process.says(asks=2, again=True) == told, "the reply was lost"
        assert await process.says() == [], "whoever says something new has the reply before it"

    asyncio.run(play())


def test_many_processes_come_less_often() -> None:
    async def play() -> None:
        one = service()
        await one.join(joining("run"), CallTally(), 0)
        pauses = []
        for number in range(64):
            reply = await one.exchange("run", f"worker-{number}", Batch(1, {1: NEED}))
            pauses.append(reply.pause_s)
        assert (pauses[0], pauses[-1]) == (services.PAUSE_S, 4 * services.PAUSE_S)

    asyncio.run(play())


def test_a_settled_lease_is_handed_on_and_counted_as_another_call() -> None:
    async def play() -> None:
        one = service(max_in_flight=2)
        await one.join(joining("run"), CallTally(), 0)
        process = Process(one, "run")
        number = await process.leased()
        await process.leased()
        assert await process.says(asks=2) == [], "two may be in flight"
        first, second = 100 * process.said, 100 * process.said + 1
        said = Settled(number, NEED, CallOutcome(100, 40), (first, NEED))
        assert await process.says(said) == [], "it has the lease already"
        totals = await one.totals("run")
        assert (totals.calls, totals.in_flight) == (1, 2)
        said = Settled(number, NEED, CallOutcome(100, 30), (second, NEED))
        await process.says(said)
        # And one that it asked and handed on in the same breath.
        await process.says(Settled(number, NEED, CallOutcome(100, 20), (999, NEED)))
        await process.settles(number, CallOutcome(100, 10))
        totals = await one.totals("run")
        assert (totals.calls, totals.in_flight, totals.output_tokens) == (4, 1, 100)

    asyncio.run(play())


def test_leases_are_handed_on_only_where_calls_in_flight_are_all_that_counts() -> None:
    async def hands_on(one: QuotaService, run: str, worker: str = "worker", asks: int = 1) -> bool:
        asked = {10 + number: NEED for number in range(asks)}
        return (await one.exchange(run, worker, Batch(1, asked))).hands_on

    async def play() -> None:
        free = service(max_in_flight=4)
        await free.join(joining("free"), CallTally(), 0)
        await free.join(joining("bounded", max_tokens=10_000), CallTally(), 0)
        assert await hands_on(free, "free", asks=4)
        assert not await hands_on(free, "bounded", "other"), "its budget is asked each time"
        assert not (await free.exchange("free", "worker", Batch(2, {}))).hands_on, "it has 4 of 4"
        given_back = [Settled(free._life + one, NEED, CallOutcome(1, 1)) for one in (1, 2)]
        assert (await free.exchange("free", "worker", Batch(3, {}, given_back))).hands_on, "2 of 4"
        await free.stop("free", "asked to stop")
        assert not (await free.exchange("free", "worker", Batch(4, {}))).hands_on

        for limits in (
            QuotaOptions(tokens_per_minute=60_000),
            QuotaOptions(requests_per_minute=60),
            QuotaOptions(tokens_per_day=60_000),
        ):
            managed = QuotaService(limits, 1.0)
            await managed.join(joining("run"), CallTally(), 0)
            assert not (await told_after_an_answer(managed)).hands_on, limits

    asyncio.run(play())


async def told_after_an_answer(of: QuotaService, spent: CallOutcome | None = None) -> Reply:
    """Make the first call, which goes alone; return what is said when it is settled."""
    process = Process(of, "run")
    for _ in range(50):
        leases = await process.says(asks=1) if process.said == 0 else await process.says()
        if leases:
            break
        await asyncio.sleep(0.05)
    [lease] = leases
    assert isinstance(lease, Lease)
    said = Settled(lease.number, NEED, spent or CallOutcome(100, 20))
    return await of.exchange("run", "worker", Batch(99, {}, [said]))


def test_leases_are_handed_on_while_the_buckets_stay_full() -> None:
    async def play() -> None:
        large = QuotaOptions(tokens_per_minute=6_000_000)
        one = QuotaService(large, 1.0)
        await one.join(joining("run"), CallTally(), 0)
        await told_after_an_answer(one)
        await asyncio.sleep(3.2)  # a bucket holds three seconds
        assert (await one.exchange("run", "worker", Batch(100, {}))).hands_on
        taken = {number: CallRequest(30_000, 0) for number in range(4)}
        assert not (await one.exchange("run", "worker", Batch(101, taken))).hands_on

    asyncio.run(play())


def test_nothing_is_handed_on_while_a_server_refuses() -> None:
    async def play() -> None:
        one = service()
        await one.join(joining("run"), CallTally(), 0)
        process = Process(one, "run")
        number = await process.leased()
        said = Settled(number, NEED, CallOutcome(throttled=True, retry_after_s=5.0))
        assert not (await one.exchange("run", "worker", Batch(99, {1: NEED}, [said]))).hands_on

    asyncio.run(play())


def test_waiting_is_a_timer_until_the_bucket_has_enough() -> None:
    async def play() -> None:
        one = QuotaService(QuotaOptions(tokens_per_minute=60_000), 1.0)
        await one.join(joining("run"), CallTally(), 0)
        turns = 0
        turn = one._turn

        def counted() -> None:
            nonlocal turns
            turns += 1
            turn()

        one._turn = counted  # type: ignore[method-assign]
        process = Process(one, "run")
        assert await process.says(asks=1) == []
        await asyncio.sleep(1)  # 150 tokens at 1,000 a second
        assert turns <= 3
        assert len(await process.says()) == 1

    asyncio.run(play())


def test_it_ends_when_nobody_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "UNUSED_S", 0.2)
    ended: list[bool] = []
    monkeypatch.setattr(QuotaService, "end", lambda self: ended.append(True))

    async def play() -> None:
        one = service()
        await one.join(joining("run"), CallTally(), 0)
        process = Process(one, "run")
        number = await process.leased()
        await asyncio.sleep(0.4)
        assert not ended, "a call is in flight"
        await process.settles(number, CallOutcome(1, 1))
        await asyncio.sleep(0.4)
        assert ended

    asyncio.run(play())
