"""The service around the broker: runs that share it, and the successor of a dead service."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from raypipe.core.options import BudgetOptions, QuotaOptions
from raypipe.quota import service as service_module
from raypipe.quota.budget import Cost
from raypipe.quota.messages import Batch, Reply, RunRegistration, Settlement
from raypipe.quota.protocol import CallOutcome, CallRequest, Lease
from raypipe.quota.service import QuotaService
from raypipe.quota.sessions import CallTally
from raypipe.quota.waiting_calls import Refusal
from tests.unit.quota.broker_harness import PRICE

REQUEST = CallRequest(100, 50)


def registration(run_id: str, max_tokens: int | None = None) -> RunRegistration:
    return RunRegistration(run_id, PRICE, BudgetOptions(max_tokens=max_tokens), Cost())


def create_service(max_in_flight: int = 64) -> QuotaService:
    return QuotaService(QuotaOptions(managed=False, max_in_flight=max_in_flight), 1.0)


class Process:
    """A process of a run: sends batches and returns the answers to its requests."""

    def __init__(self, service: QuotaService, run_id: str, worker: str = "worker") -> None:
        self.service, self.run_id, self.worker = service, run_id, worker
        self.batches = 0

    async def send(
        self,
        *settlements: Settlement,
        requests: int = 0,
        cached_calls: int = 0,
        repeat: bool = False,
    ) -> list[Lease | Refusal]:
        self.batches += not repeat
        numbered = {100 * self.batches + number: REQUEST for number in range(requests)}
        batch = Batch(self.batches, numbered, settlements, cached_calls)
        reply = await self.service.exchange(self.run_id, self.worker, batch)
        return list(reply.answers.values())

    async def acquire(self) -> int:
        [lease] = await self.send(requests=1)
        assert isinstance(lease, Lease)
        return lease.number

    async def settle(self, number: int, outcome: CallOutcome) -> None:
        await self.send(Settlement(number, REQUEST, outcome))


def test_two_runs_share_only_the_calls_in_flight() -> None:
    async def scenario() -> None:
        service = create_service(max_in_flight=1)
        for run_id in ("first", "second"):
            await service.register(registration(run_id, max_tokens=200), CallTally(), 0)
        a, b = Process(service, "first", "a"), Process(service, "second", "b")
        number = await a.acquire()
        assert await b.send(requests=1) == []
        await a.settle(number, CallOutcome(100, 40))
        [lease] = await b.send()
        assert isinstance(lease, Lease)
        await b.settle(lease.number, CallOutcome(100, 30))
        first, second = await service.totals("first"), await service.totals("second")
        assert (first.output_tokens, second.output_tokens) == (40, 30)
        [refusal] = await a.send(requests=1)
        assert isinstance(refusal, Refusal), "its own budget is used up"

    asyncio.run(scenario())


def test_a_stop_refuses_waiting_calls() -> None:
    async def scenario() -> None:
        service = create_service(max_in_flight=1)
        await service.register(registration("run"), CallTally(), 0)
        process = Process(service, "run")
        await process.acquire()
        assert await process.send(requests=1) == []
        await service.stop("run", "asked to stop")
        assert await process.send() == [Refusal("stopped", "asked to stop")]

    asyncio.run(scenario())


def test_a_successor_adds_the_counts_of_each_process_once() -> None:
    async def scenario() -> None:
        first = create_service()
        epoch = await first.register(registration("run", max_tokens=1_000), CallTally(), 0)
        number = await Process(first, "run").acquire()

        successor = create_service()
        tally = CallTally(Counter(calls=3, input_tokens=600, output_tokens=100), 0.25)
        new_epoch = await successor.register(registration("run", max_tokens=1_000), tally, epoch)
        assert new_epoch != epoch
        await successor.register(registration("run"), tally, new_epoch)
        process = Process(successor, "run")
        # The call was in flight when the first service died.
        await process.settle(number, CallOutcome(120, 40))
        totals = await successor.totals("run")
        assert (totals.calls, totals.input_tokens, totals.output_tokens) == (4, 720, 140)
        assert totals.usd == pytest.approx(0.25 + (120 + 10 * 40) / 1e6)
        [refusal] = await process.send(requests=1)
        assert isinstance(refusal, Refusal), "860 of 1,000 tokens are spent"

    asyncio.run(scenario())


def test_a_repeated_batch_counts_once() -> None:
    async def scenario() -> None:
        service = create_service()
        await service.register(registration("run"), CallTally(), 0)
        process = Process(service, "run")
        number = await process.acquire()
        for repeat in (False, True):
            settlement = Settlement(number, REQUEST, CallOutcome(100, 40))
            await process.send(settlement, cached_calls=2, requests=1, repeat=repeat)
        await process.settle(number, CallOutcome(100, 40))
        totals = await service.totals("run")
        assert (totals.calls, totals.in_flight, totals.cached_calls) == (1, 1, 2)

    asyncio.run(scenario())


def test_answers_are_repeated_until_the_next_batch_confirms_them() -> None:
    async def scenario() -> None:
        service = create_service()
        await service.register(registration("run"), CallTally(), 0)
        process = Process(service, "run")
        answers = await process.send(requests=2)
        assert len(answers) == 2
        assert await process.send(requests=2, repeat=True) == answers, "the reply was lost"
        assert await process.send() == [], "a new batch confirms the reply before it"

    asyncio.run(scenario())


def test_the_pause_grows_with_the_number_of_processes() -> None:
    async def scenario() -> None:
        service = create_service()
        await service.register(registration("run"), CallTally(), 0)
        pauses = []
        for number in range(64):
            reply = await service.exchange("run", f"worker-{number}", Batch(1, {1: REQUEST}))
            pauses.append(reply.pause_s)
        assert (pauses[0], pauses[-1]) == (service_module.PAUSE_S, 4 * service_module.PAUSE_S)

    asyncio.run(scenario())


def test_a_reused_lease_counts_as_another_call() -> None:
    async def scenario() -> None:
        service = create_service(max_in_flight=2)
        await service.register(registration("run"), CallTally(), 0)
        process = Process(service, "run")
        number = await process.acquire()
        await process.acquire()
        assert await process.send(requests=2) == [], "two calls may be in flight"
        first, second = 100 * process.batches, 100 * process.batches + 1
        settlement = Settlement(number, REQUEST, CallOutcome(100, 40), (first, REQUEST))
        assert await process.send(settlement) == [], "the process has the lease already"
        totals = await service.totals("run")
        assert (totals.calls, totals.in_flight) == (1, 2)
        await process.send(Settlement(number, REQUEST, CallOutcome(100, 30), (second, REQUEST)))
        # The request of the next call has not been in any batch.
        await process.send(Settlement(number, REQUEST, CallOutcome(100, 20), (999, REQUEST)))
        await process.settle(number, CallOutcome(100, 10))
        totals = await service.totals("run")
        assert (totals.calls, totals.in_flight, totals.output_tokens) == (4, 1, 100)

    asyncio.run(scenario())


def test_leases_are_reused_only_if_nothing_but_the_calls_in_flight_limits_them() -> None:
    async def may_reuse(
        service: QuotaService, run_id: str, worker: str = "worker", requests: int = 1
    ) -> bool:
        numbered = {10 + number: REQUEST for number in range(requests)}
        return (await service.exchange(run_id, worker, Batch(1, numbered))).may_reuse_leases

    async def scenario() -> None:
        free = create_service(max_in_flight=4)
        await free.register(registration("free"), CallTally(), 0)
        await free.register(registration("bounded", max_tokens=10_000), CallTally(), 0)
        assert await may_reuse(free, "free", requests=4)
        assert not await may_reuse(free, "bounded", "other"), "each call needs a budget check"
        reply = await free.exchange("free", "worker", Batch(2, {}))
        assert not reply.may_reuse_leases, "the worker holds 4 of 4 leases"
        settlements = [
            Settlement(free._epoch + number, REQUEST, CallOutcome(1, 1)) for number in (1, 2)
        ]
        reply = await free.exchange("free", "worker", Batch(3, {}, settlements))
        assert reply.may_reuse_leases, "the worker holds 2 of 4 leases"
        await free.stop("free", "asked to stop")
        assert not (await free.exchange("free", "worker", Batch(4, {}))).may_reuse_leases

        for limits in (
            QuotaOptions(tokens_per_minute=60_000),
            QuotaOptions(requests_per_minute=60),
            QuotaOptions(tokens_per_day=60_000),
        ):
            managed = QuotaService(limits, 1.0)
            await managed.register(registration("run"), CallTally(), 0)
            assert not (await settle_first_call(managed)).may_reuse_leases, limits

    asyncio.run(scenario())


async def settle_first_call(service: QuotaService) -> Reply:
    """Make the first call, which goes alone; return the reply to its settlement."""
    process = Process(service, "run")
    for _ in range(50):
        leases = await process.send(requests=1) if process.batches == 0 else await process.send()
        if leases:
            break
        await asyncio.sleep(0.05)
    [lease] = leases
    assert isinstance(lease, Lease)
    settlement = Settlement(lease.number, REQUEST, CallOutcome(100, 20))
    return await service.exchange("run", "worker", Batch(99, {}, [settlement]))


def test_leases_are_reused_while_the_buckets_stay_full() -> None:
    async def scenario() -> None:
        service = QuotaService(QuotaOptions(tokens_per_minute=6_000_000), 1.0)
        await service.register(registration("run"), CallTally(), 0)
        await settle_first_call(service)
        await asyncio.sleep(3.2)  # a bucket holds three seconds
        assert (await service.exchange("run", "worker", Batch(100, {}))).may_reuse_leases
        large = {number: CallRequest(30_000, 0) for number in range(4)}
        assert not (await service.exchange("run", "worker", Batch(101, large))).may_reuse_leases

    asyncio.run(scenario())


def test_no_lease_is_reused_while_the_server_throttles() -> None:
    async def scenario() -> None:
        service = create_service()
        await service.register(registration("run"), CallTally(), 0)
        process = Process(service, "run")
        number = await process.acquire()
        outcome = CallOutcome(throttled=True, retry_after_s=5.0)
        batch = Batch(99, {1: REQUEST}, [Settlement(number, REQUEST, outcome)])
        assert not (await service.exchange("run", "worker", batch)).may_reuse_leases

    asyncio.run(scenario())


def test_a_call_that_waits_for_tokens_is_a_timer() -> None:
    async def scenario() -> None:
        service = QuotaService(QuotaOptions(tokens_per_minute=60_000), 1.0)
        await service.register(registration("run"), CallTally(), 0)
        wakeups = 0
        grant_waiting = service._grant_waiting

        def count_wakeups() -> None:
            nonlocal wakeups
            wakeups += 1
            grant_waiting()

        service._grant_waiting = count_wakeups  # type: ignore[method-assign]
        process = Process(service, "run")
        assert await process.send(requests=1) == []
        await asyncio.sleep(1)  # 150 tokens at 1,000 a second
        assert wakeups <= 3
        assert len(await process.send()) == 1

    asyncio.run(scenario())


def test_an_unused_service_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "UNUSED_S", 0.2)
    ended: list[bool] = []
    monkeypatch.setattr(QuotaService, "end", lambda self: ended.append(True))

    async def scenario() -> None:
        service = create_service()
        await service.register(registration("run"), CallTally(), 0)
        process = Process(service, "run")
        number = await process.acquire()
        await asyncio.sleep(0.4)
        assert not ended, "a call is in flight"
        await process.settle(number, CallOutcome(1, 1))
        await asyncio.sleep(0.4)
        assert ended

    asyncio.run(scenario())
