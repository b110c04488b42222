"""The service around the broker: runs that share it, and what an heir of a dead one is told."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from raypipe.options import BudgetOptions, QuotaOptions
from raypipe.quota import Lease, Need, Spent
from raypipe.quota import service as services
from raypipe.quota.broker import Refusal
from raypipe.quota.budget import Cost
from raypipe.quota.clients import Tally
from raypipe.quota.service import Joining, QuotaService
from tests.unit.quota.desk import PRICE

NEED = Need(100, 50)


def joining(run: str, max_tokens: int | None = None) -> Joining:
    return Joining(run, PRICE, BudgetOptions(max_tokens=max_tokens), Cost())


def service(max_in_flight: int = 64) -> QuotaService:
    return QuotaService(QuotaOptions(managed=False, max_in_flight=max_in_flight), 1.0)


async def leased(of: QuotaService, run: str) -> int:
    lease = await of.acquire(run, "worker", NEED)
    assert isinstance(lease, Lease)
    return lease.number


def test_two_runs_share_the_calls_in_flight_and_nothing_else() -> None:
    async def play() -> None:
        one = service(max_in_flight=1)
        for run in ("first", "second"):
            await one.join(joining(run, max_tokens=200), Tally(), 0)
        number = await leased(one, "first")
        waiting = asyncio.create_task(leased(one, "second"))
        await asyncio.sleep(0)
        assert not waiting.done()
        await one.settle("first", number, NEED, Spent(100, 40))
        await one.settle("second", await waiting, NEED, Spent(100, 30))
        first, second = await one.totals("first"), await one.totals("second")
        assert (first.output_tokens, second.output_tokens) == (40, 30)
        assert isinstance(await one.acquire("first", "worker", NEED), Refusal), "its budget"

    asyncio.run(play())


def test_a_stop_ends_the_waiting() -> None:
    async def play() -> None:
        one = service(max_in_flight=1)
        await one.join(joining("run"), Tally(), 0)
        await leased(one, "run")
        waiting = asyncio.create_task(one.acquire("run", "worker", NEED))
        await asyncio.sleep(0)
        await one.stop("run", "asked to stop")
        assert await waiting == Refusal("left", "asked to stop")

    asyncio.run(play())


def test_an_heir_counts_what_each_process_counted_once() -> None:
    async def play() -> None:
        first = service()
        life = await first.join(joining("run", max_tokens=1_000), Tally(), 0)
        number = await leased(first, "run")

        heir = service()
        tally = Tally(Counter(calls=3, input_tokens=600, output_tokens=100), 0.25)
        heirs = await heir.join(joining("run", max_tokens=1_000), tally, life)
        assert heirs != life
        await heir.join(joining("run"), tally, heirs)
        # It was in flight when the first one died.
        await heir.settle("run", number, NEED, Spent(120, 40))
        totals = await heir.totals("run")
        assert (totals.calls, totals.input_tokens, totals.output_tokens) == (4, 720, 140)
        assert totals.usd == pytest.approx(0.25 + (120 + 10 * 40) / 1e6)
        assert isinstance(await heir.acquire("run", "worker", NEED), Refusal), "860 of 1,000"

    asyncio.run(play())


def test_what_is_said_twice_counts_once() -> None:
    async def play() -> None:
        one = service()
        await one.join(joining("run"), Tally(), 0)
        number = await leased(one, "run")
        for _ in range(2):
            await one.settle("run", number, NEED, Spent(100, 40))
        await one.saved("run", 2)
        totals = await one.totals("run")
        assert (totals.calls, totals.in_flight, totals.cached_calls) == (1, 0, 2)

    asyncio.run(play())


def test_waiting_is_a_timer_until_the_bucket_has_enough() -> None:
    async def play() -> None:
        one = QuotaService(QuotaOptions(tokens_per_minute=60_000), 1.0)
        await one.join(joining("run"), Tally(), 0)
        turns = 0
        turn = one._turn

        def counted() -> None:
            nonlocal turns
            turns += 1
            turn()

        one._turn = counted  # type: ignore[method-assign]
        await asyncio.wait_for(leased(one, "run"), 5)  # 150 tokens at 1,000 a second
        assert turns <= 3

    asyncio.run(play())


def test_it_ends_when_nobody_uses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "UNUSED_S", 0.2)
    ended: list[bool] = []
    monkeypatch.setattr(QuotaService, "end", lambda self: ended.append(True))

    async def play() -> None:
        one = service()
        await one.join(joining("run"), Tally(), 0)
        number = await leased(one, "run")
        await asyncio.sleep(0.4)
        assert not ended, "a call is in flight"
        await one.settle("run", number, NEED, Spent(1, 1))
        await asyncio.sleep(0.4)
        assert ended

    asyncio.run(play())
