"""Measure the steps of a run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from raypipe.core.activity import activity

_ACTIVITIES = {
    "index": "opening the index",
    "listing": "listing the books",
    "planning": "comparing the listing with the ledger",
    "checks": "checking credentials, models and the state",
    "ray_start": "starting Ray",
    "graph": "processing the books",
    "compaction": "compacting the ledger",
    "closing": "finishing the index",
}


@dataclass
class StepTimer:
    """Seconds of each step of a run, in the order of their first start."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Add the time of a block to a step."""
        started = time.monotonic()
        try:
            with activity.doing(_ACTIVITIES.get(name, name)):
                yield
        finally:
            taken = time.monotonic() - started
            self.seconds[name] = round(self.seconds.get(name, 0.0) + taken, 3)
