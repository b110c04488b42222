"""`runs/<id>/statistics.json`, from which the report of a run is drawn."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from raypipe.coordination.counts import Progress
from raypipe.coordination.forecast import Outlook
from raypipe.coordination.progress import Snapshot
from raypipe.coordination.stage_times import SlowBook, StageTimes
from raypipe.core.book import Book
from raypipe.ledger.run_statistics import load_statistics, statistics_name
from raypipe.run.statistics_file import WRITE_EVERY_S, StatisticsFile
from raypipe.run.work import Work
from raypipe.state.local import LocalState
from tests.unit.run.local_jobs import local_job, run_job, write_books


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def times() -> StageTimes:
    found = StageTimes(slowest=[SlowBook(2.0, "b.txt", 5, "read"), SlowBook(3.0, "a", 1, "text")])
    found.add("read", 2.0)
    return found


def work_of(state: LocalState) -> Work:
    books = [Book(str(size), f"{size}.txt", "e", size, 0.0) for size in (100, 100, 9_000)]
    ledger = SimpleNamespace(state=state)
    return cast(Work, SimpleNamespace(ledger=ledger, run_id="r1", books=books))


def snapshot(done: int, *, ended: bool = False) -> Snapshot:
    return Snapshot(Progress(done=done, usd=0.5, tokens_per_minute=9.0), 3, Outlook(), None, ended)


def test_the_file_is_written_now_and_then_and_at_the_end(tmp_path: Path) -> None:
    state, clock = LocalState(str(tmp_path)), Clock()
    file = StatisticsFile(work_of(state), times, clock)
    file.show(snapshot(0))
    assert load_statistics(state, "r1") is None, "not at once"
    clock.now = WRITE_EVERY_S
    file.show(snapshot(1))
    clock.now += 1
    file.show(snapshot(3, ended=True))
    found = load_statistics(state, "r1")
    assert found is not None
    assert found.ended
    assert found.column("done") == [0, 0, 1, 3]
    assert found.series["memory_bytes"] == [None] * 4
    assert found.column("tokens_per_minute") == [0, 9, 9, 9]
    assert (found.sizes.count, found.sizes.largest) == (3, 9_000)
    assert [book.key for book in found.slowest] == ["a", "b.txt"]
    assert found.latencies["read"].count == 1


@pytest.mark.parametrize(
    "damage",
    [
        {"series": {"seconds": [1]}, "sizes": None},
        {"series": {"seconds": [1, 2], "done": [1]}},
        {"series": {"seconds": [1], "done": ["x"]}},
        {"series": {"seconds": [float("inf")]}},
        {"series": {"seconds": [10**400]}},
        {"series": {"seconds": list(range(10_000))}},
        {"slowest": [{"key": 1}]},
        {"slowest": [{"seconds": float("nan"), "key": "k", "size": 1, "stage": "read"}]},
        {"latencies": {"read": 3}},
        {"latencies": None},
    ],
)
def test_damaged_statistics_are_none(tmp_path: Path, damage: dict[str, Any]) -> None:
    state = LocalState(str(tmp_path))
    file = StatisticsFile(work_of(state), times)
    file.show(snapshot(1, ended=True))
    name = statistics_name("r1")
    values = json.loads(state.get(name) or b"")
    assert load_statistics(state, "r1") is not None
    state.put(name, json.dumps({**values, **damage}).encode())
    assert load_statistics(state, "r1") is None


def test_columns_of_another_raypipe_are_ignored_or_unknown(tmp_path: Path) -> None:
    state = LocalState(str(tmp_path))
    file = StatisticsFile(work_of(state), times)
    file.show(snapshot(1, ended=True))
    values = json.loads(state.get(statistics_name("r1")) or b"")
    del values["series"]["throttled"]
    values["series"]["new"] = ["odd"]
    state.put(statistics_name("r1"), json.dumps({**values, "more": 1}).encode())
    found = load_statistics(state, "r1")
    assert found is not None
    assert found.series["throttled"] == [None, None]


def test_a_run_counts_the_times_of_its_books(tmp_path: Path) -> None:
    write_books(tmp_path / "books", 5)
    job = local_job(tmp_path)
    record = run_job(job)
    found = load_statistics(job.ledger.state, record.run_id)
    assert found is not None
    assert {stage: times.count for stage, times in found.latencies.items()} == dict.fromkeys(
        ("read", "text", "summarize", "embed", "write"), 5
    )
    assert len(found.slowest) == found.sizes.count == 5
    assert found.ended
    assert found.column("done")[-1] == 5
    again = run_job(job)
    assert load_statistics(job.ledger.state, again.run_id) is None, "it had nothing to do"
