"""Which share of a quota is used, and how few calls are refused.

Minutes of a virtual clock against the code of the simulated model server. The bounds are the
promised ones; these seeds reach better values.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from raypipe.core.options import QuotaOptions
from raypipe.simulator.options import ServerQuotaOptions
from tests.unit.quota.simulation import Simulation, Workload

TPM = 1_000_000
MINUTES = 4
SEEDS = pytest.mark.parametrize("seed", range(3))


@dataclass(frozen=True)
class Result:
    used: float  # share of the quota that was settled in time
    throttled: float  # share of the calls
    throttled_later: float  # share of the calls after the first minute


def measure(simulation: Simulation, callers: int = 64) -> Result:
    """Measure four minutes from the first call that the server accepted."""
    log = simulation.run(callers, 60 * MINUTES + 15)
    end = log.first + 60 * MINUTES
    tokens = simulation.server.tokens_per_minute
    assert tokens is not None
    return Result(
        log.settled_by(end) / (tokens * MINUTES),
        log.throttled_share(until=end),
        log.throttled_share(log.first + 60, end),
    )


def create_simulation(
    configured: int | None = TPM,
    workload: Workload | None = None,
    seed: int = 0,
    tpm: int = TPM,
    burndown: float = 1.0,
) -> Simulation:
    options = ServerQuotaOptions(tokens_per_minute=tpm, burndown=burndown)
    return Simulation(
        QuotaOptions(tokens_per_minute=configured), options, workload or Workload(), seed
    )


@SEEDS
@pytest.mark.parametrize(
    "workload", [Workload(), Workload(latency_s=3.0), Workload(latency_s=1.0, retry_after=True)]
)
def test_a_known_quota_is_used_and_hardly_a_call_is_refused(seed: int, workload: Workload) -> None:
    result = measure(create_simulation(workload=workload, seed=seed))
    assert result.used >= 0.97
    assert result.throttled < 0.005


@SEEDS
@pytest.mark.parametrize("retry_after", [False, True])
def test_the_rate_follows_a_quota_that_is_halved_and_restored(seed: int, retry_after: bool) -> None:
    simulation = create_simulation(workload=Workload(retry_after=retry_after), seed=seed)
    simulation.change_quota(100, tokens_per_minute=TPM // 2)
    simulation.change_quota(200, tokens_per_minute=TPM)
    log = simulation.run(64, 300)
    assert log.settled_by(simulation.now) >= 0.93 * simulation.available_tokens()
    assert log.throttled_share() < 0.02


@SEEDS
def test_an_unknown_quota_is_found(seed: int) -> None:
    result = measure(create_simulation(configured=None, seed=seed))
    assert result.used >= 0.85
    assert result.throttled_later < 0.03


@SEEDS
def test_a_quota_with_a_burndown_of_five_is_used(seed: int) -> None:
    result = measure(create_simulation(burndown=5.0, seed=seed))
    assert result.used >= 0.97
    assert result.throttled < 0.005


@SEEDS
def test_a_quota_of_requests_is_used(seed: int) -> None:
    quota = QuotaOptions(tokens_per_minute=TPM, requests_per_minute=60)
    server = ServerQuotaOptions(tokens_per_minute=TPM, requests_per_minute=60)
    simulation = Simulation(quota, server, Workload(), seed)
    log = simulation.run(64, 60 * MINUTES + 15)
    end = log.first + 60 * MINUTES
    assert sum(at <= end for at, _ in log.settled) >= 0.97 * 60 * MINUTES
    assert log.throttled_share(until=end) < 0.005


@SEEDS
def test_a_quota_is_used_with_wrong_estimates(seed: int) -> None:
    result = measure(create_simulation(workload=Workload(estimate=(0.7, 1.1)), seed=seed))
    assert result.used >= 0.96
    assert result.throttled < 0.01


@SEEDS
def test_a_quota_whose_bucket_is_smaller_than_a_call_is_used(seed: int) -> None:
    # 5 seconds of 30,000 a minute are 2,500 tokens, and a call has 6,000.
    # The delay of a worker's first call is lost there, and that is a call in twenty.
    workload = Workload(cold_start_s=(0.0, 0.5))
    result = measure(
        create_simulation(configured=30_000, workload=workload, tpm=30_000, seed=seed), callers=8
    )
    assert result.used >= 0.85
    assert result.throttled_later < 0.06, "one of these twenty calls"


def test_a_configured_quota_above_the_true_quota_is_detected() -> None:
    result = measure(create_simulation(configured=2 * TPM))
    assert result.used >= 0.95
    assert result.throttled_later < 0.03


def test_without_a_server_quota_the_rate_soon_limits_nothing() -> None:
    simulation = Simulation(QuotaOptions(max_in_flight=16), ServerQuotaOptions(), Workload(), 0)
    log = simulation.run(64, 60)
    assert not log.throttles
    # 16 calls of about 2.2 s each.
    assert sum(at > log.first + 10 for at, _ in log.settled) > 0.95 * 50 * 16 / 2.3


def test_the_rate_does_not_grow_while_no_call_waits() -> None:
    simulation = create_simulation(configured=None)
    simulation.run(1, 200)  # one call at a time never reaches the quota
    assert simulation.rate_share() < 1
