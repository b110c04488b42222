"""Stages are total: each row that goes in comes out, whatever happens to its book."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from raypipe.coordination.run_coordinator import RunCoordinator
from raypipe.core.book import Book, Row, from_table, to_table
from raypipe.core.errors import BookError, BookLeftError, SetupError
from raypipe.core.fingerprint import Recipe
from raypipe.core.options import BreakerOptions
from raypipe.core.stop import StopCheck, never_stopped
from raypipe.embedders.hash import HashEmbedder
from raypipe.embedders.protocol import InputType
from raypipe.ledger.document_store import DocumentStore
from raypipe.run.stages import Embed, Summarize
from raypipe.sources.local import LocalBookSource
from raypipe.state.factory import open_state
from raypipe.summarizers.lead import LeadSummarizer
from raypipe.summarizers.protocol import Summary
from raypipe.text import CleanText, TextCleaner

RECIPE = Recipe("t", "s", "d")
WORDS = "A lamp shines over the harbor while two old friends quarrel about it at night. " * 8


class FakeCoordinator(RunCoordinator):
    def node_id(self) -> str:
        return "here"

    def worker_id(self) -> str:
        return "writer"


@dataclass(frozen=True)
class FailingSummarizer(LeadSummarizer):
    def summarize(self, book: CleanText, stop_check: StopCheck = never_stopped) -> Summary:
        if "refuse" in book.title:
            raise BookError("refused", "not this one", retryable=True)
        if "crash" in book.title:
            raise ZeroDivisionError
        return super().summarize(book, stop_check)


@dataclass(frozen=True)
class NanEmbedder(HashEmbedder):
    def embed(
        self, texts: Sequence[str], *, input_type: InputType = "document"
    ) -> NDArray[np.float32]:
        vectors = super().embed(texts, input_type=input_type)
        for row, text in enumerate(texts):
            if "nan" in text:
                vectors[row] = np.nan
        return vectors


@pytest.fixture
def coordinator() -> FakeCoordinator:
    return FakeCoordinator(BreakerOptions())


@pytest.fixture
def summarize(tmp_path: Path, coordinator: FakeCoordinator) -> Summarize:
    (tmp_path / "books").mkdir()
    source = LocalBookSource(str(tmp_path / "books"))
    documents = DocumentStore(open_state(str(tmp_path / "state")))
    return Summarize(
        source, TextCleaner(), FailingSummarizer(), documents, RECIPE, {"s"}, 7, coordinator
    )


def process(stage: Summarize, *names: str) -> list[Row]:
    source = stage.source
    assert isinstance(source, LocalBookSource)
    for name in names:
        (Path(source.path) / f"{name}.txt").write_text(f"{name}\n\n{WORDS}")
    return from_table(stage(to_table(Row(book) for book in source.list_books())))


def test_a_failure_names_its_stage_and_harms_no_other_book(summarize: Summarize) -> None:
    rows = {row.book.key: row for row in process(summarize, "crash", "fine", "refuse")}
    assert rows["fine.txt"].document is not None
    refused, crashed = rows["refuse.txt"].failure, rows["crash.txt"].failure
    assert refused is not None
    assert (refused.stage, refused.kind, refused.attempts) == ("summarize", "refused", 1)
    assert crashed is not None
    assert (crashed.kind, crashed.retryable) == ("unexpected", True)


def test_a_deleted_book_fails_in_read_and_a_short_book_in_text(summarize: Summarize) -> None:
    source = summarize.source
    assert isinstance(source, LocalBookSource)
    (Path(source.path) / "short.txt").write_text("too few words")
    books = [*source.list_books(), Book("x", "gone.txt", "e", 1, 0.0)]
    failures = [row.failure for row in from_table(summarize(to_table(map(Row, books))))]
    assert [(failure.stage, failure.kind) for failure in failures if failure] == [
        ("text", "too_short"),
        ("read", "gone"),
    ]


def test_a_too_large_book_is_not_read(summarize: Summarize) -> None:
    huge = Book("x", "not-even-there.txt", "e", 10**9, 0.0)
    (row,) = from_table(summarize(to_table([Row(huge)])))
    assert row.failure is not None
    assert row.failure.kind == "too_large"


def test_books_are_left_after_a_stop(summarize: Summarize, coordinator: FakeCoordinator) -> None:
    coordinator.stop("Ctrl-C")
    rows = process(summarize, "a", "b")
    assert [(row.left, row.failure, row.document) for row in rows] == [("Ctrl-C", None, None)] * 2


def test_documents_record_their_source_and_run(summarize: Summarize) -> None:
    (row,) = process(summarize, "fine")
    assert row.document is not None
    assert (row.document.run_seq, row.document.node_id) == (7, "here")
    assert row.document.source == summarize.source.identity
    assert row.document.summary_recipe == RECIPE.summary


def test_a_vector_that_is_not_finite_fails_only_its_book(
    summarize: Summarize, coordinator: FakeCoordinator
) -> None:
    rows = process(summarize, "fine", "nan book")
    done = {
        row.book.key: row
        for row in from_table(Embed(NanEmbedder(8), RECIPE, {"d"}, coordinator)(to_table(rows)))
    }
    document, failure = done["fine.txt"].document, done["nan book.txt"].failure
    assert document is not None
    assert (len(document.summary_vector), document.document_recipe) == (8, "d")
    assert failure is not None
    assert (failure.stage, failure.kind) == ("embed", "bad_vector")


def test_a_finished_document_keeps_its_vector(
    summarize: Summarize, coordinator: FakeCoordinator
) -> None:
    first = from_table(
        Embed(HashEmbedder(8), RECIPE, {"d"}, coordinator)(to_table(process(summarize, "fine")))
    )
    again = from_table(Embed(NanEmbedder(16), RECIPE, {"d"}, coordinator)(to_table(first)))
    assert again == first


@dataclass(frozen=True)
class ScriptedSummarizer(LeadSummarizer):
    """Raises an error or returns a summary, as a summarizer that calls models does."""

    error: Exception | None = None
    summary: Summary | None = None

    def summarize(self, book: CleanText, stop_check: StopCheck = never_stopped) -> Summary:
        if reason := stop_check():
            raise BookLeftError(reason)
        if self.error is not None:
            raise self.error
        return self.summary or super().summarize(book)


def with_summarizer(stage: Summarize, **settings: Any) -> Summarize:
    return replace(stage, summarizer=ScriptedSummarizer(**settings))


def test_a_left_book_is_not_failed(summarize: Summarize, coordinator: FakeCoordinator) -> None:
    (row,) = process(with_summarizer(summarize, error=BookLeftError("asked to stop")), "fine")
    assert (row.left, row.failure, row.document) == ("asked to stop", None, None)
    assert coordinator.stop_reason() == ""


def test_an_exhausted_budget_stops_the_run(
    summarize: Summarize, coordinator: FakeCoordinator
) -> None:
    rows = process(
        with_summarizer(summarize, error=BookLeftError("no money", stops=True)), "a", "b"
    )
    assert [row.left for row in rows] == ["no money"] * 2
    assert coordinator.stop_reason() == "no money"


def test_an_error_that_fails_every_book_ends_the_stage(summarize: Summarize) -> None:
    with pytest.raises(SetupError, match="no such model"):
        process(with_summarizer(summarize, error=SetupError("no such model")), "fine")


def test_fields_of_the_models_answer_reach_the_document(summarize: Summarize) -> None:
    summary = Summary(
        "Sum", ("k",), genre="novel", plot="P", themes=("t",), characters=("A: b",),
        sections=("I: s",), setting="S", period="1890s", degraded="no answer", author="Ann",
    )  # fmt: skip
    (row,) = process(with_summarizer(summarize, summary=summary), "fine")
    document = row.document
    assert document is not None
    for name in ("genre", "plot", "themes", "characters", "sections", "setting", "period"):
        assert getattr(document, name) == getattr(summary, name)
    assert (document.degraded, document.author, document.title) == ("no answer", "Ann", "fine")


def test_a_degraded_document_is_not_reused_for_another_book(summarize: Summarize) -> None:
    stage = with_summarizer(summarize, summary=Summary("Fallback", (), degraded="no answer"))
    (first,) = process(stage, "fine")
    assert first.document is not None
    embedded = replace(first.document, document_recipe="d")
    summarize.documents.append([embedded], 1, 0, 0)
    source = summarize.source
    assert isinstance(source, LocalBookSource)
    (Path(source.path) / "fine.txt").rename(Path(source.path) / "renamed.txt")
    again = from_table(summarize(to_table(Row(book) for book in source.list_books())))
    assert [row.document and row.document.degraded for row in again] == [""]


def test_a_renamed_book_keeps_the_names_that_a_model_gave(summarize: Summarize) -> None:
    stage = with_summarizer(summarize, summary=Summary("A tale.", (), author="Ann"))
    (first,) = process(stage, "Old_name__by__Bob")
    assert first.document is not None
    assert (first.document.title, first.document.author) == ("Old name", "Ann")
    summarize.documents.append([replace(first.document, document_recipe="d")], 1, 0, 0)
    source = summarize.source
    assert isinstance(source, LocalBookSource)
    (old,) = Path(source.path).iterdir()
    old.rename(old.with_name("New_name__by__Cy.txt"))
    again = from_table(summarize(to_table(Row(book) for book in source.list_books())))
    [document] = [row.document for row in again]
    assert document is not None
    assert (document.title, document.author, document.model_calls) == ("New name", "Ann", 0)
