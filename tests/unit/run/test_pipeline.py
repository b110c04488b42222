"""All stages in the threads of one process: books that kill, hang or fail harm no other book."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from raypipe.coordination.run_coordinator import StartDecision
from raypipe.core.book import Book
from raypipe.core.errors import SetupError
from raypipe.core.fingerprint import Recipe
from raypipe.core.options import BreakerOptions
from raypipe.core.stop import StopCheck, never_stopped
from raypipe.embedders.hash import HashEmbedder
from raypipe.embedders.protocol import InputType
from raypipe.ledger.facade import Ledger, RunResults
from raypipe.run.batches import BatchLimits
from raypipe.run.book_sink import BookSink
from raypipe.run.group_commit import GroupLimits
from raypipe.run.pipeline import Pipeline
from raypipe.run.stages import Embed, Summarize
from raypipe.sources.local import LocalBookSource
from raypipe.state.local import LocalState
from raypipe.summarizers.lead import LeadSummarizer
from raypipe.summarizers.protocol import Summary
from raypipe.text import CleanText, TextCleaner
from tests.unit.run.test_book_sink import LocalCoordinator

RECIPE = Recipe("t", "s", "d")
RUN = 3


class WorkerDied(BaseException):
    """Stands for the end of the process."""


@dataclass(frozen=True)
class OddSummarizer(LeadSummarizer):
    """Does what the title of a book says."""

    def summarize(self, book: CleanText, stop_check: StopCheck = never_stopped) -> Summary:
        if "Refusal" in book.title:
            raise SetupError("there are no credentials")
        summary = super().summarize(book, stop_check)
        return replace(summary, text="half \ud83d a pair") if "Half" in book.title else summary


@dataclass(frozen=True)
class OddEmbedder(HashEmbedder):
    """Ends its worker at a text with the word `Deadly`; counts the threads that embed at once."""

    def embed(
        self, texts: Sequence[str], *, input_type: InputType = "document"
    ) -> NDArray[np.float32]:
        if any("Deadly" in text for text in texts):
            raise WorkerDied
        return super().embed(texts, input_type=input_type)


class Run:
    """A run over a folder of books, whose workers may die."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "books"
        self.folder.mkdir()
        self.source = LocalBookSource(str(self.folder))
        self.ledger = Ledger(LocalState(str(folder / "state")))
        self.coordinator = LocalCoordinator(BreakerOptions())

    def write_books(self, *titles: str) -> list[Book]:
        for title in titles:
            text = f"{title}\n\n" + "A lamp shines over the harbor while friends quarrel. " * 12
            (self.folder / f"{title}.txt").write_text(text)
        return sorted(self.source.list_books(), key=lambda book: book.key)

    def worker(self, threads: int = 2, batch: int = 1) -> Pipeline:
        """Return the pipeline of a new worker."""
        documents = self.ledger.documents
        summarize = Summarize(
            self.source, TextCleaner(), OddSummarizer(), documents, RECIPE, {"s"}, RUN,
            self.coordinator,
        )  # fmt: skip
        embed = Embed(OddEmbedder(8), RECIPE, {"d"}, self.coordinator)
        groups = GroupLimits(max_docs=100, flush_s=0.05, slots=1)
        sink = BookSink(self.ledger, RECIPE, RUN, self.coordinator, None, groups)
        limits, starts = BatchLimits(batch, 10**9), BatchLimits(8, 10**9)
        return Pipeline(summarize, embed, sink, limits, starts, threads, shares_embedder=False)

    def results(self) -> RunResults:
        return self.ledger.read_back(RUN, ("d",))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def until_it_survives(work: Callable[[Pipeline], None], run: Run) -> int:
    """Repeat a task on a new worker after each death, as Ray does; return the deaths."""
    for deaths in range(10):
        try:
            work(run.worker())
        except WorkerDied:
            continue
        return deaths
    raise AssertionError("the worker always dies")


def test_calls_at_the_same_time_share_the_threads(run: Run) -> None:
    books = run.write_books(*(f"Book {number}" for number in range(20)))
    worker = run.worker(threads=3, batch=2)
    with ThreadPoolExecutor(4) as tasks:
        list(tasks.map(worker.run, [books[at : at + 5] for at in range(0, 20, 5)]))
    worker.close()
    assert run.results().done == {book.book_id for book in books}
    assert {stage for stage, _ in run.coordinator.progress().stage_seconds} == {
        "summarize", "embed", "write",
    }  # fmt: skip


def test_a_book_whose_embedding_kills_the_worker_fails_alone(run: Run) -> None:
    books = run.write_books("Deadly", *(f"Fine {number}" for number in range(5)))
    assert until_it_survives(lambda worker: worker.run(books), run) == 2
    assert run.results().done == {book.book_id for book in books if "Deadly" not in book.key}
    (failure,) = run.ledger.failures.read_latest().to_pylist()
    assert (failure["key"], failure["kind"]) == ("Deadly.txt", "killed_worker")


def test_half_a_surrogate_pair_is_replaced(run: Run) -> None:
    books = run.write_books("Half", "Whole")
    run.worker().run(books)
    assert run.results().done == {book.book_id for book in books}


def test_a_stop_leaves_the_books_that_were_not_started(run: Run) -> None:
    books = run.write_books(*(f"Book {number}" for number in range(12)))
    run.coordinator.stop("Ctrl-C")
    run.worker().run(books)
    assert not run.results().done


def test_an_error_that_fails_every_book_stops_the_run(run: Run) -> None:
    books = run.write_books("A Refusal", *(f"Book {number}" for number in range(30)))
    with pytest.raises(SetupError, match="there are no credentials"):
        run.worker().run(books)
    assert run.coordinator.stop_reason() == "there are no credentials"


def test_the_start_of_a_task_is_one_call(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    books = run.write_books(*(f"Book {number}" for number in range(8)))
    starts: list[int] = []

    def start(stage: str, ids: Sequence[str], isolated: bool = False) -> StartDecision:
        starts.append(len(ids))
        return StartDecision(worker_deaths=tuple(0 for _ in ids))

    monkeypatch.setattr(run.coordinator, "start", start)
    run.worker().run(books)
    assert starts == [8]


def test_closed_threads_end(run: Run) -> None:
    before = set(threading.enumerate())
    run.worker(threads=4).close()
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
    assert set(threading.enumerate()) <= before
