"""Documents for the tests of the ledger and of exports."""

from __future__ import annotations

import dataclasses

from raypipe.core.book import Document


def make_document(book: str, **changes: object) -> Document:
    """Return a finished document of a book."""
    plain = Document(
        book_id=book,
        key=f"{book}.txt",
        etag="e1",
        source="s3://books",
        size=10,
        modified=1.0,
        title="T",
        author="A",
        language="en",
        words=2,
        encoding="utf-8",
        flags=("degraded",),
        text_sha256=f"text of {book}",
        text_recipe="t1",
        summary_recipe="s1",
        document_recipe="d1",
        summarizer="s",
        embedder="e",
        summary=f"summary of {book}",
        keywords=("one", "two"),
        model_calls=1,
        input_tokens=2,
        output_tokens=3,
        run_seq=1,
        finished_at=5.0,
        node_id="n",
        summary_vector=(0.5, -0.25),
    )
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]
