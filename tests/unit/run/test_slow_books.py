"""A book that hangs in C code fails alone while 63 others wait for their models."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from raypipe.core.child_process import ChildProcess
from raypipe.core.stage_options import Stages, SummarizeOptions
from raypipe.core.stop import StopCheck, never_stopped
from raypipe.run.job import Execution
from raypipe.run.processing import Processing
from raypipe.summarizers.lead import LeadSummarizer
from raypipe.summarizers.protocol import Summary
from raypipe.text import CleanText, TextCleaner, isolation
from tests.unit.run.local_jobs import local_job, run_job, write_books

BOOKS = 64
BARRIER = threading.Barrier(BOOKS - 1)


@dataclass(frozen=True)
class MeetingSummarizer(LeadSummarizer):
    """Waits until 63 books are in flight, as a call to a model would."""

    def summarize(self, book: CleanText, stop_check: StopCheck = never_stopped) -> Summary:
        BARRIER.wait(60)
        return super().summarize(book, stop_check)


@pytest.fixture(autouse=True)
def _child(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3]))
    child = ChildProcess("tests.unit.text.hanging_tasks")
    monkeypatch.setattr(isolation, "_child", child)
    yield
    child.close()


def test_the_deadline_kills_no_call_in_flight(tmp_path: Path) -> None:
    write_books(tmp_path / "books", BOOKS - 1)
    good = (tmp_path / "books/Book_5__by__A_Writer.txt").read_text()
    (tmp_path / "books/Book_5__by__A_Writer.txt").write_text(good * 200)
    (tmp_path / "books/Hanging.txt").write_text(good * 200 + "hang while cleaning")
    job = local_job(tmp_path)
    pool = SummarizeOptions(workers=1, calls_per_worker=BOOKS, books_per_task=1)
    job = replace(
        job,
        processing=Processing(
            TextCleaner(deadline_s=2.0), MeetingSummarizer(), job.processing.embedder
        ),
        execution=Execution("local", stages=Stages(summarize=pool)),
    )
    record = run_job(job)
    assert (record.finished, record.failed, record.left) == (BOOKS - 1, 1, 0)
    [failure] = job.ledger.failures.read_latest().to_pylist()
    assert (failure["key"], failure["kind"], failure["stage"]) == (
        "Hanging.txt",
        "too_slow",
        "text",
    )
    assert "text.deadline_s=2" in failure["message"]
