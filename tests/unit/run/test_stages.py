"""Stages are total: a row goes in, a row comes out, whatever happens to the book."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from raypipe.coordination.run_coordinator import RunCoordinator
from raypipe.core.book import Book, BookError, LeftError, Row, from_table, to_table
from raypipe.core.errors import SetupError
from raypipe.core.fingerprint import Recipe
from raypipe.core.options import BreakerOptions
from raypipe.core.stop import StopCheck, never_stopped
from raypipe.embedders.hash import HashEmbedder
from raypipe.embedders.protocol import InputType
from raypipe.ledger.documents import DocumentStore
from raypipe.run.stages import Embed, Summarize
from raypipe.sources.local import LocalBookSource
from raypipe.state.store import open_state
from raypipe.summarizers.lead import LeadSummarizer
from raypipe.summarizers.protocol import Summary
from raypipe.text import CleanText, TextCleaner

RECIPE = Recipe("t", "s", "d")
WORDS = "A lamp shines over the harbor while two old friends quarrel about it at night. " * 8


class Here(RunCoordinator):
    def node_id(self) -> str:
        return "here"


@dataclass(frozen=True)
class Fussy(LeadSummarizer):
    def summarize(self, book: CleanText, stop_check: StopCheck = never_stopped) -> Summary:
        if "refuse" in book.title:
            raise BookError("refused", "not this one", retryable=True)
        if "crash" in book.title:
            raise ZeroDivisionError
        return super().summarize(book, stop_check)


@dataclass(frozen=True)
class Picky(HashEmbedder):
    def embed(
        self, texts: Sequence[str], *, input_type: InputType = "document"
    ) -> NDArray[np.float32]:
        vectors = super().embed(texts, input_type=input_type)
        for row, text in enumerate(texts):
            if "nan" in text:
                vectors[row] = np.nan
        return vectors


@pytest.fixture
def monitor() -> Here:
    return Here(BreakerOptions())


@pytest.fixture
def summarize(tmp_path: Path, monitor: Here) -> Summarize:
    (tmp_path / "books").mkdir()
    store = LocalBookSource(str(tmp_path / "books"))
    documents = DocumentStore(open_state(str(tmp_path / "state")))
    return Summarize(store, TextCleaner(), Fussy(), documents, RECIPE, 7, monitor)


def parcel(stage: Summarize, *names: str) -> list[Row]:
    store = stage.store
    assert isinstance(store, LocalBookSource)
    for name in names:
        (Path(store.path) / f"{name}.txt").write_text(f"{name}\n\n{WORDS}")
    return from_table(stage(to_table(Row(book) for book in store.list_books())))


def test_each_failure_says_its_stage_and_harms_nobody(summarize: Summarize) -> None:
    rows = {row.book.key: row for row in parcel(summarize, "crash", "fine", "refuse")}
    assert rows["fine.txt"].document is not None
    refused, crashed = rows["refuse.txt"].failure, rows["crash.txt"].failure
    assert refused is not None
    assert (refused.stage, refused.kind, refused.attempts) == ("summarize", "refused", 1)
    assert crashed is not None
    assert (crashed.kind, crashed.retryable) == ("unexpected", True)


def test_a_book_that_vanished_fails_in_read_and_a_short_one_in_text(summarize: Summarize) -> None:
    store = summarize.store
    assert isinstance(store, LocalBookSource)
    (Path(store.path) / "short.txt").write_text("too few words")
    books = [*store.list_books(), Book("x", "gone.txt", "e", 1, 0.0)]
    failures = [row.failure for row in from_table(summarize(to_table(map(Row, books))))]
    assert [(one.stage, one.kind) for one in failures if one] == [
        ("text", "too_short"),
        ("read", "gone"),
    ]


def test_a_too_large_book_is_not_read(summarize: Summarize) -> None:
    huge = Book("x", "not-even-there.txt", "e", 10**9, 0.0)
    (row,) = from_table(summarize(to_table([Row(huge)])))
    assert row.failure is not None
    assert row.failure.kind == "too_large"


def test_after_a_stop_books_are_left_and_not_failed(summarize: Summarize, monitor: Here) -> None:
    monitor.stop("Ctrl-C")
    rows = parcel(summarize, "a", "b")
    assert [(row.left, row.failure, row.document) for row in rows] == [("Ctrl-C", None, None)] * 2


def test_documents_carry_where_and_when_they_come_from(summarize: Summarize) -> None:
    (row,) = parcel(summarize, "fine")
    assert row.document is not None
    assert (row.document.run_seq, row.document.node_id) == (7, "here")
    assert row.document.source == summarize.store.identity
    assert row.document.summary_recipe == RECIPE.summary


def test_a_vector_that_is_not_finite_fails_its_book_alone(
    summarize: Summarize, monitor: Here
) -> None:
    rows = parcel(summarize, "fine", "nan book")
    done = {
        row.book.key: row for row in from_table(Embed(Picky(8), RECIPE, monitor)(to_table(rows)))
    }
    document, failure = done["fine.txt"].document, done["nan book.txt"].failure
    assert document is not None
    assert (len(document.summary_vector), document.document_recipe) == (8, "d")
    assert failure is not None
    assert (failure.stage, failure.kind) == ("embed", "bad_vector")


def test_a_document_of_this_recipe_keeps_its_vector(summarize: Summarize, monitor: Here) -> None:
    first = from_table(Embed(HashEmbedder(8), RECIPE, monitor)(to_table(parcel(summarize, "fine"))))
    again = from_table(Embed(Picky(16), RECIPE, monitor)(to_table(first)))
    assert again == first


@dataclass(frozen=True)
class Waiting(LeadSummarizer):
    """Raises what a summarizer raises that calls models."""

    error: Exception | None = None
    told: Summary | None = None

    def summarize(self, book: CleanText, stop_check: StopCheck = never_stopped) -> Summary:
        if why := stop_check():
            raise LeftError(why)
        if self.error is not None:
            raise self.error
        return self.told or super().summarize(book)


def waiting(stage: Summarize, **more: Any) -> Summarize:
    return replace(stage, summarizer=Waiting(**more))


def test_a_book_that_is_left_is_not_failed(summarize: Summarize, monitor: Here) -> None:
    (row,) = parcel(waiting(summarize, error=LeftError("asked to stop")), "fine")
    assert (row.left, row.failure, row.document) == ("asked to stop", None, None)
    assert monitor.stop_reason() == ""


def test_a_used_up_budget_stops_the_run(summarize: Summarize, monitor: Here) -> None:
    rows = parcel(waiting(summarize, error=LeftError("no money", stops=True)), "a", "b")
    assert [row.left for row in rows] == ["no money"] * 2
    assert monitor.stop_reason() == "no money"


def test_what_makes_every_book_fail_ends_the_stage(summarize: Summarize) -> None:
    with pytest.raises(SetupError, match="no such model"):
        parcel(waiting(summarize, error=SetupError("no such model")), "fine")


def test_the_models_words_reach_the_document(summarize: Summarize) -> None:
    told = Summary(
        "Sum", ("k",), genre="novel", plot="P", themes=("t",), characters=("A: b",),
        sections=("I: s",), setting="S", period="1890s", degraded="no answer", author="Ann",
    )  # fmt: skip
    (row,) = parcel(waiting(summarize, told=told), "fine")
    document = row.document
    assert document is not None
    for name in ("genre", "plot", "themes", "characters", "sections", "setting", "period"):
        assert getattr(document, name) == getattr(told, name)
    assert (document.degraded, document.author, document.title) == ("no answer", "Ann", "fine")


def test_a_degraded_document_stands_for_no_other_book(summarize: Summarize) -> None:
    stage = waiting(summarize, told=Summary("Fallback", (), degraded="no answer"))
    (first,) = parcel(stage, "fine")
    assert first.document is not None
    embedded = replace(first.document, document_recipe="d")
    summarize.documents.append([embedded], 1, 0, 0)
    store = summarize.store
    assert isinstance(store, LocalBookSource)
    (Path(store.path) / "fine.txt").rename(Path(store.path) / "renamed.txt")
    again = from_table(summarize(to_table(Row(book) for book in store.list_books())))
    assert [row.document and row.document.degraded for row in again] == [""]


def test_a_renamed_book_keeps_what_a_model_told_of_it(summarize: Summarize) -> None:
    stage = waiting(summarize, told=Summary("A tale.", (), author="Ann"))
    (first,) = parcel(stage, "Old_name__by__Bob")
    assert first.document is not None
    assert (first.document.title, first.document.author) == ("Old name", "Ann")
    summarize.documents.append([replace(first.document, document_recipe="d")], 1, 0, 0)
    store = summarize.store
    assert isinstance(store, LocalBookSource)
    (old,) = Path(store.path).iterdir()
    old.rename(old.with_name("New_name__by__Cy.txt"))
    again = from_table(summarize(to_table(Row(book) for book in store.list_books())))
    [document] = [row.document for row in again]
    assert document is not None
    assert (document.title, document.author, document.model_calls) == ("New name", "Ann", 0)
