"""`runs/<id>/progress.json`, which `raypipe status` and other machines read."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from raypipe.coordination.counts import Progress
from raypipe.coordination.forecast import Outlook
from raypipe.coordination.progress import Snapshot
from raypipe.core.errors import SetupError
from raypipe.ledger.run_progress import progress_name
from raypipe.run.forecast import estimate_calls_of_sizes
from raypipe.run.progress_file import ProgressFile
from raypipe.run.work import Work
from raypipe.state.local import LocalState
from raypipe.text import CleanText

SNAPSHOT = Snapshot(
    Progress(done=3, failed=1, model_calls=20, cached_calls=2, failures=(("empty", 1),)),
    10,
    Outlook(9.0, 0.5, 2.0, 0.0, 50, 14.0, "calls"),
)


def file_of(state: Any) -> ProgressFile:
    ledger = SimpleNamespace(state=state)
    return ProgressFile(cast(Work, SimpleNamespace(ledger=ledger, run_id="r1", listed=12)))


def test_the_file_has_the_numbers_of_the_run_and_is_marked_at_its_end(tmp_path: Path) -> None:
    state = LocalState(str(tmp_path))
    file = file_of(state)
    for ended in (False, True):
        file.show(Snapshot(SNAPSHOT.progress, 10, SNAPSHOT.outlook, None, ended))
    written = json.loads(state.get(progress_name("r1")) or b"")
    expected = {"run_id": "r1", "listed": 12, "todo": 10, "done": 3, "failed": 1, "left": 6}
    assert {name: written[name] for name in expected} == expected
    assert (written["calls"], written["estimated_calls"], written["eta_s"]) == (22, 50, 14.0)
    assert written["tokens"] == {"input": 0, "output": 0}
    assert written["failures"] == {"empty": 1}
    assert written["memory_bytes"] is None
    assert written["ended"] is True
    assert "@" in written["pid_host"]


def test_a_state_that_hangs_or_fails_does_not_delay_the_run() -> None:
    opened, calls = threading.Event(), list[bool]()

    class SlowState:
        def put(self, name: str, data: bytes, *, durable: bool = True) -> None:
            calls.append(durable)
            assert opened.wait(30)
            raise SetupError("the disk is full")

    file = file_of(SlowState())
    for _ in range(3):
        file.show(SNAPSHOT)
    assert calls == [False], "one write at a time, without a sync"
    opened.set()


@dataclass(frozen=True)
class PlansByLength:
    """An estimator with a call for each 1,000 bytes."""

    def plan_calls(self, book: CleanText) -> list[None]:
        return [None] * max(len(book.text) // 1_000, 1)


def test_calls_are_estimated_from_the_sizes_of_books() -> None:
    sizes = np.array([500] * 90 + [400_000] * 10, dtype=np.int64)
    calls = estimate_calls_of_sizes(sizes, cast(Any, PlansByLength()))
    assert abs(calls - (90 + 4_000)) < 0.05 * 4_090
    assert estimate_calls_of_sizes(sizes[:0], cast(Any, PlansByLength())) == 0
