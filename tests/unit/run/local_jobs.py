"""Jobs without an index, for the local executor, with parts that fail or wait as a test asks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from raypipe.core.errors import SetupError
from raypipe.core.options import IndexOptions
from raypipe.core.stop import StopCheck, never_stopped
from raypipe.embedders.hash import HashEmbedder
from raypipe.ledger.facade import Ledger
from raypipe.ledger.run_records import RunRecord
from raypipe.ledger.writer_lock import WriterLock
from raypipe.run.executors.base import ListenForStop, no_stop_requests
from raypipe.run.job import Execution, Job
from raypipe.run.processing import Processing
from raypipe.run.runner import run
from raypipe.run.target import IndexTarget
from raypipe.sources.local import LocalBookSource
from raypipe.state.local import LocalState
from raypipe.summarizers.lead import LeadSummarizer
from raypipe.summarizers.protocol import Summary
from raypipe.text import CleanText, TextCleaner


@dataclass
class Gate:
    """A place where summarizers wait; tests find it by name, since a pickle holds no lock."""

    reached: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)


GATES: dict[str, Gate] = {}


@dataclass(frozen=True)
class GatedSummarizer(LeadSummarizer):
    """Waits at a gate for each book whose title contains a word.

    Args:
        gate: Name of the gate.
        word: The word.
    """

    gate: str = ""
    word: str = ""

    def summarize(self, book: CleanText, stop_check: StopCheck = never_stopped) -> Summary:
        if self.word in book.title:
            GATES[self.gate].reached.set()
            assert GATES[self.gate].opened.wait(60)
        return super().summarize(book, stop_check)


@dataclass(frozen=True)
class RefusingSummarizer(LeadSummarizer):
    """Fails every book, as without credentials."""

    def summarize(self, book: CleanText, stop_check: StopCheck = never_stopped) -> Summary:
        raise SetupError("there are no credentials")


@dataclass(frozen=True)
class UnpicklableSummarizer(LeadSummarizer):
    """Holds a lock, which cannot be pickled."""

    lock: object = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class CountingSummarizer(LeadSummarizer):
    """Counts in a list of its own; a copy in another process has another list."""

    titles: list[str] = field(default_factory=list)

    def summarize(self, book: CleanText, stop_check: StopCheck = never_stopped) -> Summary:
        self.titles.append(book.title)
        return super().summarize(book, stop_check)


def write_books(folder: Path, count: int) -> None:
    """Write books with the titles `Book 0`, `Book 1` and so on."""
    folder.mkdir(exist_ok=True)
    for number in range(count):
        text = " ".join(f"Sentence {line} of book {number} ends." for line in range(60))
        (folder / f"Book_{number}__by__A_Writer.txt").write_text(text)


def local_job(folder: Path, summarizer: LeadSummarizer | None = None) -> Job:
    """Return a job over `folder/books` that keeps its documents in `folder/state`."""
    return Job(
        source=LocalBookSource(str(folder / "books")),
        processing=Processing(TextCleaner(), summarizer or LeadSummarizer(), HashEmbedder()),
        ledger=Ledger(LocalState(str(folder / "state"))),
        target=IndexTarget(None, IndexOptions()),
        execution=Execution("local"),
    )


def run_job(job: Job, listen_for_stop: ListenForStop = no_stop_requests) -> RunRecord:
    """Run a job under its lock."""
    with WriterLock.acquire(job.ledger.state) as lock:
        return run(job, lock, listen_for_stop)


def in_thread(call: Callable[[], RunRecord]) -> Callable[[], RunRecord]:
    """Start a call in a thread; return a function that waits for its result."""
    results: list[RunRecord] = []
    thread = threading.Thread(target=lambda: results.append(call()))
    thread.start()

    def result() -> RunRecord:
        thread.join(60)
        assert results, "the run did not end"
        return results[0]

    return result
