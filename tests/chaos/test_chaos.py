"""Jobs that are killed at random, again and again: nothing lost, doubled or stale.

`make chaos` kills 20 times; CHAOS_KILLS=100 and CHAOS_SEED=7 say otherwise. A short part of it,
one job that is killed a few times, belongs to `make test`.
"""

from __future__ import annotations

import logging
import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.parts import PHASES
from tests.chaos.world import Job, World, world
from tests.integration.s3_here import S3Here, s3

__all__ = ["s3"]

log = logging.getLogger(__name__)

KILLS = int(os.environ.get("CHAOS_KILLS", "0"))
SEED = int(os.environ.get("CHAOS_SEED", "1"))
SHORT = 2
OF_A_JOB = 10
BOOKS = 300 if KILLS else 60
# Most kills are the driver's; each of the others comes by in ten.
TURNS = ("driver", "worker", "driver", "node", "driver", "driver", "proxy", "driver", "disk")

pytestmark = [pytest.mark.integration, pytest.mark.timeout(2_400)]


@pytest.fixture
def chance() -> random.Random:
    return random.Random(SEED)


@pytest.fixture
def everything(tmp_path: Path, s3: S3Here, chance: random.Random) -> Iterator[World]:
    with world(tmp_path, s3, BOOKS, chance) as made:
        yield made


def test_nothing_is_lost_doubled_or_stale(
    everything: World, tmp_path: Path, chance: random.Random
) -> None:
    landed: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    kills = KILLS or SHORT
    jobs = -(-kills // OF_A_JOB)
    for number in range(jobs):
        job = Job(everything, tmp_path / f"job-{number}", chance)
        while kinds.total() < min(kills, (number + 1) * OF_A_JOB):
            kind = TURNS[kinds.total() % len(TURNS)]
            # Every second kill is aimed at the place that was hit least.
            aim = min(PHASES, key=lambda one: landed[one]) if kinds.total() % 2 else ""
            if job.kill(kind, aim):
                kinds[kind] += 1
            else:
                job.next_recipe()
            landed.update(job.landed)
            job.landed.clear()
        if KILLS:
            job.finish()
        job.next_recipe()
        job.finish()
        job.project.clean_up()
        log.warning("job %d: %s; hit while in %s", number, dict(kinds), dict(landed))
    if KILLS >= 20:
        assert all(landed[phase] for phase in PHASES), landed
