"""Read a book, clean its text and summarize it, or reuse what an earlier run finished."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Set
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import pyarrow as pa

from raypipe.coordination.crash_guard import CrashGuard, failed_row
from raypipe.coordination.run_coordinator import Coordinator
from raypipe.coordination.stage_times import Laps
from raypipe.core.book import MODEL_FIELDS, Book, Document, Row, from_table, to_table
from raypipe.core.errors import BookError, BookLeftError, SetupError
from raypipe.core.fingerprint import Recipe
from raypipe.ledger.document_store import DocumentStore
from raypipe.run.stages.failures import unexpected_failure
from raypipe.sources import BookSource
from raypipe.summarizers import Summarizer
from raypipe.text import CleanText, TextCleaner

_LARGE_FILE = threading.Lock()
"""A process reads one file at a time that is larger than a text may be: a worker has up to 64
threads, and an EPUB with pictures up to 64 MiB."""


@dataclass
class Summarize:
    """Turn each book of a batch into a document without a vector.

    Args:
        source: Where books are read.
        cleaner: Turns bytes into clean text.
        summarizer: Turns clean text into a summary.
        documents: Documents that earlier runs finished.
        recipe: Recipe of the run.
        summaries: Summary recipes whose documents are reused for a book with the same text.
        run_seq: Number of the run.
        coordinator: The run's coordinator.
    """

    source: BookSource
    cleaner: TextCleaner
    summarizer: Summarizer
    documents: DocumentStore
    recipe: Recipe
    summaries: Set[str]
    run_seq: int
    coordinator: Coordinator
    guard: CrashGuard = field(init=False)

    def __post_init__(self) -> None:
        """Create the crash guard of this stage."""
        self.guard = CrashGuard(self.coordinator, "summarize")

    def __call__(self, batches: pa.Table) -> pa.Table:
        """Return the batch with a document or a failure for each book that was not left."""
        started = time.monotonic()
        rows, suspects = self.guard.start(from_table(batches))
        with self.guard.stop_at_error():
            if suspects:
                processed = self.guard.isolate_each(rows, self.process)
            else:
                processed = self.process(rows)
        self.guard.finish(processed, started)
        return to_table(processed)

    def process(self, rows: list[Row]) -> list[Row]:
        """Return the rows with a document or a failure for each book that was not left.

        Args:
            rows: Books whose start is recorded.
        """
        return [self._process(row) for row in self._load_finished(rows)]

    def _load_finished(self, rows: list[Row]) -> list[Row]:
        """Fill in the documents that an earlier run finished or summarized."""
        books_by_part: dict[str, list[Book]] = {}
        for row in rows:
            if row.is_open and row.book.part:
                books_by_part.setdefault(row.book.part, []).append(row.book)
        documents: dict[str, Document] = {}
        for part, books in books_by_part.items():
            ids, etags = [book.book_id for book in books], [book.etag for book in books]
            for document in self.documents.read(part, ids, etags):
                documents[document.book_id] = document
        return [
            replace(row, document=documents.get(row.book.book_id)) if row.book.part else row
            for row in rows
        ]

    def _process(self, row: Row) -> Row:
        if not row.is_open or row.document is not None:
            return row
        if reason := self.guard.stop_reason():
            return replace(row, left=reason)
        laps = Laps("read")
        processed = self._read_and_summarize(row, laps)
        if not processed.left:
            self.guard.clock.add_book(row.book, laps.end())
        return processed

    def _read_and_summarize(self, row: Row, laps: Laps) -> Row:
        book = row.book
        try:
            with _LARGE_FILE if book.size > self.cleaner.max_bytes else nullcontext():
                data = self._read(book)
                laps.begin("text")
                text = self.cleaner.clean(data, book.key)
                laps.begin("summarize")
                document = self._reuse(book, text, data)
                del data  # the calls of a model may take minutes
            document = document or self._summarize(book, text)
        except BookError as error:
            return failed_row(row, laps.stage, error)
        except BookLeftError as left:
            if left.stops:
                self.coordinator.stop(left.reason)
            return replace(row, left=left.reason)
        except SetupError:
            raise  # every book would fail
        except Exception as error:
            return failed_row(row, laps.stage, unexpected_failure(book, error))
        return replace(row, document=document, book=replace(book, part=""))

    def _read(self, book: Book) -> bytes:
        limit = self.cleaner.max_object_bytes(book.key)
        if book.size > limit:
            option = "max_bytes" if limit == self.cleaner.max_bytes else "max_file_bytes"
            message = f"{book.key} has {book.size:,} bytes; text.{option}={limit:,}"
            raise BookError("too_large", message)
        return self.source.read(book)

    def _reuse(self, book: Book, text: CleanText, data: bytes) -> Document | None:
        """Return the finished document of a renamed, re-uploaded or touched book, or None."""
        place = self._finished_texts.get(text.sha256)
        if place is None:
            return None
        part, book_id = place
        documents = self.documents.read(part, [book_id])
        if not documents or documents[0].text_sha256 != text.sha256:
            return None  # the part was compacted since, with a newer version of that book
        document = documents[0]
        title, author = self._names_under_new_key(document, text, data)
        # The title is embedded with the summary; another title needs another vector.
        same_title = document.title == title
        return replace(
            document,
            **self._provenance(book),
            title=title,
            author=author,
            encoding=text.encoding,
            text_recipe=document.text_recipe if same_title else self.recipe.text,
            summary_recipe=document.summary_recipe if same_title else self.recipe.summary,
            document_recipe=document.document_recipe if same_title else "",
            summary_vector=document.summary_vector if same_title else (),
            model_calls=0,
            input_tokens=0,
            output_tokens=0,
            usd=0.0,
        )

    def _names_under_new_key(
        self, document: Document, text: CleanText, data: bytes
    ) -> tuple[str, str]:
        """Return title and author under the new key; names that a model gave stay."""
        if (document.title, document.author) == (text.title, text.author):
            return text.title, text.author
        before = self.cleaner.clean(data, document.key)
        title = text.title if document.title == before.title else document.title
        author = text.author if document.author == before.author else document.author
        return title, author

    def _summarize(self, book: Book, text: CleanText) -> Document:
        summary = self.summarizer.summarize(text, self.guard.stop_reason)
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
            usd=summary.usd,
            summary_vector=(),
        )

    def _provenance(self, book: Book) -> dict[str, Any]:
        return {
            "book_id": book.book_id,
            "key": book.key,
            "etag": book.etag,
            "source": self._source_identity,
            "size": book.size,
            "modified": book.modified,
            "run_seq": self.run_seq,
            "finished_at": time.time(),
            "node_id": self._node_id,
        }

    @cached_property
    def _finished_texts(self) -> Mapping[str, tuple[str, str]]:
        return self.documents.text_index(self.summaries)

    @cached_property
    def _source_identity(self) -> str:
        return self.source.identity

    @cached_property
    def _node_id(self) -> str:
        return self.coordinator.node_id()
