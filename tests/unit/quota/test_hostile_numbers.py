"""Numbers of a server cannot stop or crash the quota service, which all runs share."""

from __future__ import annotations

import asyncio
from math import inf, nan
from typing import Any

import pytest

from raypipe.core.options import QuotaOptions
from raypipe.core.retry import MAX_RETRY_AFTER_S
from raypipe.models.calling.retrying import _outcome_of
from raypipe.models.protocol import ModelError, TokenUsage
from raypipe.quota.limits import Limits
from raypipe.quota.protocol import CallOutcome, CallRequest
from raypipe.quota.service import QuotaService
from raypipe.quota.sessions import CallTally
from tests.unit.quota.test_service import Process, registration

WAITS = (1e9, 1e300, inf, -inf, nan, -5.0, 0.0, 900.0, None)
COUNTS: tuple[Any, ...] = (-1, -(10**30), 10**30, inf, nan, 1.5, "7", None, True, [1], {"a": 1})
OPTIONS = (
    QuotaOptions(managed=False),
    QuotaOptions(tokens_per_minute=10_000, requests_per_minute=100, tokens_per_day=100_000),
    QuotaOptions(),
)


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("daily", [False, True])
@pytest.mark.parametrize("wait_s", WAITS)
def test_a_wait_is_at_most_a_quarter_of_an_hour(
    options: QuotaOptions, daily: bool, wait_s: float | None
) -> None:
    limits = Limits(options, 1.0, 0.0)
    request = CallRequest(100, 50)
    reserved = limits.reserved_tokens(request)
    limits.charge(request, reserved, 0.0)
    outcome = CallOutcome(throttled=True, retry_after_s=wait_s, daily=daily)
    limits.settle(request, reserved, 0.0, outcome, 1.0)
    limits.pause_reason(reserved, 1.0)
    assert 0 <= limits.wait_s(reserved, 1.0) <= MAX_RETRY_AFTER_S
    assert limits.wait_s(reserved, 1.0 + MAX_RETRY_AFTER_S) <= 60
    assert limits.tokens_per_minute is None or 0 < limits.tokens_per_minute < inf


@pytest.mark.parametrize("options", OPTIONS)
def test_the_service_survives_all_numbers(options: QuotaOptions) -> None:
    async def scenario() -> None:
        for wait_s in WAITS:
            service = QuotaService(options, 5.0)
            await service.register(registration("run", max_tokens=10**6), CallTally(), 0)
            process = Process(service, "run")
            for daily in (False, True):
                message = "tokens per day" if daily else ""
                error = ModelError("Throttled", message, status=429, retry_after_s=wait_s)
                [*leases] = await process.send(requests=1)
                if leases:
                    await process.settle(leases[0].number, _outcome_of(error))  # type: ignore[union-attr]
                await service.totals("run")
        service = QuotaService(options, 5.0)
        await service.register(registration("run", max_tokens=10**6), CallTally(), 0)
        process = Process(service, "run")
        for count in COUNTS:
            for lease in await process.send(requests=1):
                await process.settle(lease.number, CallOutcome(count, count))  # type: ignore[union-attr]
        totals = await service.totals("run")
        assert (totals.input_tokens, totals.output_tokens, totals.usd) == (0, 0, 0.0)

    asyncio.run(scenario())


@pytest.mark.parametrize("count", COUNTS)
def test_a_count_that_is_none_is_0(count: Any) -> None:
    outcome = CallOutcome(count, count)
    assert (outcome.input_tokens, outcome.output_tokens) == (0, 0)


def test_a_count_of_a_model_is_kept() -> None:
    error = ModelError.bad_response("cut", TokenUsage(10**9, 5))
    assert _outcome_of(error) == CallOutcome(10**9, 5)
