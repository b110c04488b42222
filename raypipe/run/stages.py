"""The callables of the graph: each takes a parcel of books and gives one back.

A stage is total: a book that cannot be done comes out as a failure, one that may not begin as
left. What makes every book fail raises, and is found before the first book.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import pyarrow as pa

from raypipe.coordination.crash_guard import CrashGuard, failed_row
from raypipe.coordination.run_coordinator import Coordinator
from raypipe.core.book import (
    MODEL_FIELDS,
    Book,
    BookError,
    Document,
    LeftError,
    Row,
    from_table,
    to_table,
)
from raypipe.core.errors import SetupError
from raypipe.core.fingerprint import Recipe
from raypipe.embedders.protocol import Embedder
from raypipe.ledger.documents import DocumentStore
from raypipe.sources.protocol import BookSource
from raypipe.summarizers.protocol import Summarizer, Summary
from raypipe.text import CleanText, TextCleaner

log = logging.getLogger(__name__)


@dataclass
class Summarize:
    """Read a book, clean its text, summarize it; or take up what is finished already."""

    store: BookSource
    cleaner: TextCleaner
    summarizer: Summarizer
    documents: DocumentStore
    recipe: Recipe
    run_seq: int
    marks: Coordinator
    _guard: CrashGuard = field(init=False)

    def __post_init__(self) -> None:
        """Make the guard of this stage."""
        self._guard = CrashGuard(self.marks, "summarize")

    def __call__(self, parcels: pa.Table) -> pa.Table:
        """Return the parcel with a document or a failure for each of its books."""
        began = time.monotonic()
        rows, one_by_one = self._guard.start(from_table(parcels))
        rows = self._take_up(rows)
        done = [self._one(row, one_by_one) for row in rows]
        self._guard.finish(done, began)
        return to_table(done)

    def _take_up(self, rows: list[Row]) -> list[Row]:
        """Fill in the documents that an earlier run finished or summarized."""
        parts: dict[str, list[Book]] = {}
        for row in rows:
            if row.open and row.book.part:
                parts.setdefault(row.book.part, []).append(row.book)
        found: dict[str, Document] = {}
        for part, books in parts.items():
            ids, etags = [one.book_id for one in books], [one.etag for one in books]
            found.update({doc.book_id: doc for doc in self.documents.read(part, ids, etags)})
        return [
            replace(row, document=found.get(row.book.book_id)) if row.book.part else row
            for row in rows
        ]

    def _one(self, row: Row, suspect: bool) -> Row:
        if not row.open or row.document is not None:
            return row
        if suspect:
            return self._guard.isolate(row, self._new)
        why = self._guard.stop_reason()
        return replace(row, left=why) if why else self._new(row)

    def _new(self, row: Row) -> Row:
        stage = "read"
        try:
            data = self._read(row.book)
            stage = "text"
            text = self.cleaner.clean(data, row.book.key)
            stage = "summarize"
            document = self._again(row.book, text, data) or self._document(row.book, text)
        except BookError as error:
            return failed_row(row, stage, error)
        except LeftError as left:
            return self._left(row, left)
        except SetupError:
            raise  # every book would fail
        except Exception as error:
            return failed_row(row, stage, _unexpected(row.book, error))
        return replace(row, document=document, book=replace(row.book, part=""))

    def _left(self, row: Row, left: LeftError) -> Row:
        if left.stops:
            self.marks.stop(left.reason)
        return replace(row, left=left.reason)

    def _read(self, book: Book) -> bytes:
        if book.size > self.cleaner.max_bytes:
            message = (
                f"{book.key} has {book.size:,} bytes; text.max_bytes={self.cleaner.max_bytes:,}"
            )
            raise BookError("too_large", message)
        return self.store.read(book)

    def _again(self, book: Book, text: CleanText, data: bytes) -> Document | None:
        """Return the finished document of a renamed, re-uploaded or touched book."""
        known = self._known.get(text.sha256)
        if known is None:
            return None
        part, book_id = known
        found = self.documents.read(part, [book_id])
        if not found or found[0].text_sha256 != text.sha256:
            return None  # the part was merged since, with a newer version of that book
        return self._adapt(found[0], book, text, data)

    def _adapt(self, document: Document, book: Book, text: CleanText, data: bytes) -> Document:
        title, author = self._named(document, text, data)
        # The title is embedded with the summary: under another title the vector is another.
        same = document.title == title
        return replace(
            document,
            **self._provenance(book),
            title=title,
            author=author,
            encoding=text.encoding,
            document_recipe=document.document_recipe if same else "",
            summary_vector=document.summary_vector if same else (),
            model_calls=0,
            input_tokens=0,
            output_tokens=0,
        )

    def _named(self, document: Document, text: CleanText, data: bytes) -> tuple[str, str]:
        """Return title and author under the new key: what a model told stays as it is."""
        had, new = (document.title, document.author), (text.title, text.author)
        if had == new:
            return new
        before = self.cleaner.clean(data, document.key)
        title = text.title if document.title == before.title else document.title
        author = text.author if document.author == before.author else document.author
        return title, author

    @cached_property
    def _known(self) -> Mapping[str, tuple[str, str]]:
        return self.documents.by_text(self.recipe.summary)

    def _document(self, book: Book, text: CleanText) -> Document:
        summary: Summary = self.summarizer.summarize(text, self._guard.stop_reason)
        return Document(
            **self._provenance(book),
            **{name: getattr(summary, name) for name in MODEL_FIELDS},
            title=summary.title or text.title,
            author=summary.author or text.author,
            language=text.language,
            words=text.words,
            encoding=text.encoding,
            flags=(*text.flags, *summary.flags),
            text_sha256=text.sha256,
            text_recipe=self.recipe.text,
            summary_recipe=self.recipe.summary,
            document_recipe="",
            summarizer=self.summarizer.name,
            embedder="",
            summary=summary.text,
            keywords=summary.keywords,
            model_calls=summary.model_calls,
            input_tokens=summary.input_tokens,
            output_tokens=summary.output_tokens,
            summary_vector=(),
        )

    @cached_property
    def _source(self) -> str:
        return self.store.identity

    @cached_property
    def _node_id(self) -> str:
        return self.marks.node_id()

    def _provenance(self, book: Book) -> dict[str, Any]:
        return {
            "book_id": book.book_id,
            "key": book.key,
            "etag": book.etag,
            "source": self._source,
            "size": book.size,
            "modified": book.modified,
            "run_seq": self.run_seq,
            "finished_at": time.time(),
            "node_id": self._node_id,
        }


@dataclass
class Embed:
    """Give each document its vector, unless it brought one of the same recipe."""

    embedder: Embedder
    recipe: Recipe
    marks: Coordinator
    _guard: CrashGuard = field(init=False)

    def __post_init__(self) -> None:
        """Make the guard of this stage."""
        self._guard = CrashGuard(self.marks, "embed")

    def __call__(self, parcels: pa.Table) -> pa.Table:
        """Return the parcel with vectors of shape (dimension,) in its documents."""
        began = time.monotonic()
        rows = from_table(parcels)
        bare = [row for row in rows if row.open and self._lacks_vector(row)]
        if not bare:
            return to_table(rows)
        # What a model was paid for is embedded even while the run stops: only deaths matter here.
        verdict = self.marks.start("embed", [row.book.book_id for row in bare])
        done = self._singly(bare) if any(verdict.worker_deaths) else self._together(bare)
        self._guard.finish(bare, began)
        by_id = {row.book.book_id: row for row in done}
        return to_table(by_id.get(row.book.book_id, row) for row in rows)

    def _lacks_vector(self, row: Row) -> bool:
        document = row.document
        return document is not None and document.document_recipe != self.recipe.document

    def _together(self, rows: list[Row]) -> list[Row]:
        try:
            vectors = self.embedder.embed([_searchable(row) for row in rows])
            pairs = zip(rows, vectors, strict=True)
            return [self._with(row, vector.tolist()) for row, vector in pairs]
        except SetupError:
            raise  # every book would fail
        except Exception:
            return self._singly(rows)  # find out which book it was

    def _singly(self, rows: list[Row]) -> list[Row]:
        return [self._one(row) for row in rows]

    def _one(self, row: Row) -> Row:
        return self._guard.isolate(row, self._embedded, even_if_stopped=True)

    def _embedded(self, row: Row) -> Row:
        try:
            return self._with(row, self.embedder.embed([_searchable(row)])[0].tolist())
        except BookError as error:
            return failed_row(row, "embed", error)
        except SetupError:
            raise
        except Exception as error:
            return failed_row(row, "embed", _unexpected(row.book, error))

    def _with(self, row: Row, vector: list[float]) -> Row:
        assert row.document is not None
        if not all(map(math.isfinite, vector)):  # JSON, on the way to the sink, has no NaN
            raise BookError("bad_vector", f"{row.book.key}: its embedding is not finite")
        document = replace(
            row.document,
            document_recipe=self.recipe.document,
            embedder=self.embedder.name,
            summary_vector=tuple(vector),
        )
        return replace(row, document=document, book=replace(row.book, part=""))


def _searchable(row: Row) -> str:
    """Return the text that stands for the book in vector space."""
    assert row.document is not None
    return f"{row.document.title}. {row.document.summary}"


def _unexpected(book: Book, error: Exception) -> BookError:
    """Turn a bug or a library's surprise into one book's failure, and log where it was."""
    log.warning("%s: unexpected %s", book.key, type(error).__name__, exc_info=error)
    return BookError("unexpected", f"{book.key}: {type(error).__name__}", retryable=True)
