from __future__ import annotations

import dataclasses
import pickle

import pytest

from raypipe.core.book import (
    Book,
    Document,
    Failure,
    Row,
    book_id,
    document_from,
    documents_table,
    from_table,
    to_table,
)
from raypipe.core.errors import BookError


def document(name: str = "a") -> Document:
    return Document(
        book_id=name, key=f"{name}.txt", etag="e", source="s3://b", size=3, modified=1.5,
        title="T", author="A", language="en", words=9, encoding="utf-8", flags=("trimmed_much",),
        text_sha256="00", text_recipe="t", summary_recipe="s", document_recipe="d",
        summarizer="lead", embedder="hash", summary="Sum", keywords=("k1", "k2"), model_calls=0,
        input_tokens=0, output_tokens=0, run_seq=1, finished_at=2.5, node_id="n",
        summary_vector=(0.5, -0.25),
    )  # fmt: skip


def test_a_batch_returns_its_rows() -> None:
    rows = [
        Row(Book("a", "a.txt", "e", 3, 1.5), document=document()),
        Row(Book("b", "b.txt", "e", 3, 1.5), failure=Failure("read", "gone", "m", False, 1)),
        Row(Book("c", "c.txt", "e", 3, 1.5, attempts=2, part="p"), left="Ctrl-C"),
    ]
    batch = to_table(rows)
    assert batch.num_rows == 1
    assert from_table(batch) == rows


def test_half_a_surrogate_pair_is_replaced() -> None:
    broken = dataclasses.replace(document(), summary="a \ud800 b")
    (row,) = from_table(to_table([Row(Book("a", "a.txt", "e", 3, 1.5), document=broken)]))
    assert row.document == dataclasses.replace(document(), summary="a ? b")


def test_documents_are_read_from_their_table() -> None:
    assert document_from(documents_table([document()]).to_pylist()[0]) == document()


def test_ids_depend_on_source_and_key_and_fit_opensearch() -> None:
    ids = {book_id("s3://a", "k"), book_id("s3://b", "k"), book_id("s3://a", "k2")}
    assert len(ids) == 3
    assert len(book_id("s3://a", "ü" * 1000)) == 64


def test_source_and_key_are_separated_in_an_id() -> None:
    assert book_id("s3://a", "bc") != book_id("s3://ab", "c")


@pytest.mark.parametrize("retryable", [True, False])
def test_a_book_error_is_pickled_with_all_fields(retryable: bool) -> None:
    error = pickle.loads(pickle.dumps(BookError("gone", "it was deleted", retryable=retryable)))
    assert (error.kind, error.message, error.retryable) == ("gone", "it was deleted", retryable)
