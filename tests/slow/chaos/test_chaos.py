"""Jobs that are killed at random, again and again: nothing lost, doubled or stale.

`make chaos` kills 20 times; CHAOS_KILLS=100 and CHAOS_SEED=7 say otherwise. A short part of it,
one job that is killed a few times, belongs to `make test-slow`.
"""

from __future__ import annotations

import itertools
import logging
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.s3_server import CountingS3Server
from tests.slow.chaos.job import Job
from tests.slow.chaos.parts import PHASES, WRITER_PHASES
from tests.slow.chaos.world import World, world
from tests.slow.ray_head import AWS

log = logging.getLogger(__name__)

KILLS = int(os.environ.get("CHAOS_KILLS", "0"))
SEED = int(os.environ.get("CHAOS_SEED", "1"))
SHORT = 2
OF_A_JOB = 10
BOOKS = 300 if KILLS else 60
MIN_WRITERS = 5
"""Groups whose writer must be killed in a long test."""
MOST_TRIES = 3
"""A kill comes too late where the run has ended; so many tries for a kill, on average."""
# What is killed in one run after the other; starting one costs more than killing does.
ALONE = (
    ("writer", "worker", "driver"),
    ("writer", "writer", "writer"),
    ("node", "worker", "driver"),
    ("proxy", "writer", "driver"),
    ("disk",),
    ("s3",),
)
ON_CLUSTER = (
    ("writer", "raylet", "driver"),
    ("proxy", "worker", "driver"),
    ("node", "writer", "driver"),
    ("raylet", "driver"),
)

pytestmark = pytest.mark.timeout(1_200 + 60 * KILLS)


@pytest.fixture
def chance() -> random.Random:
    return random.Random(SEED)


@pytest.fixture
def everything(
    tmp_path: Path, s3: CountingS3Server, chance: random.Random, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    for name, value in AWS.items():
        monkeypatch.setenv(name, value)
    with world(tmp_path, s3, BOOKS, chance) as made:
        yield made


def test_nothing_is_lost_doubled_or_stale(
    everything: World, tmp_path: Path, chance: random.Random
) -> None:
    landed: Counter[str] = Counter()
    writers_killed: Counter[str] = Counter()
    kills = KILLS or SHORT
    began = time.monotonic()
    for number in range(-(-kills // OF_A_JOB)):
        job = Job(
            everything,
            tmp_path / f"job-{number}",
            chance,
            on_cluster=number % 2 == 1,
            writers_killed=writers_killed,
        )
        if KILLS and not number:
            job.measure()
        try:
            kinds = kill(job, min(OF_A_JOB, kills - number * OF_A_JOB), landed)
            job.finish()
        finally:
            job.project.kill_processes()
        job.project.clean_up()
        seconds = time.monotonic() - began
        log.warning(
            "job %d, %.0f s: %s; hit while in %s; groups of killed writers by what had landed: %s",
            number, seconds, dict(kinds), dict(landed), dict(writers_killed),
        )  # fmt: skip
    if KILLS >= 20:
        assert all(landed[phase] for phase in PHASES), landed
        assert all(writers_killed[phase] for phase in WRITER_PHASES), writers_killed
        assert writers_killed.total() >= MIN_WRITERS, writers_killed


def kill(job: Job, times: int, landed: Counter[str]) -> Counter[str]:
    """Kill a job so many times; returns the kinds of the kills, and adds to what they hit."""
    kinds: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    turns = itertools.cycle(ON_CLUSTER if job.on_cluster else ALONE)
    turn = next(turns)
    for number in range(MOST_TRIES * times):
        # But for every third run, the last kill is aimed at the place that was hit least.
        wanted = min(PHASES, key=lambda one: landed[one] + missed[one])
        aim = wanted if number % 3 else ""
        # The last of them, so that what is cut off is not the driver.
        wished = turn[kinds.total() - times :]
        killed = job.kill(wished, aim)
        turn = next(turns) if killed else turn
        kinds.update(killed)
        missed[aim] += len(killed) < len(wished)
        landed.update(job.landed)
        job.landed.clear()
        if kinds.total() == times:
            return kinds
    raise AssertionError(f"only {kinds} of {times} kills found something to kill")
