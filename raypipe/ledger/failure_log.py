"""Failures of books: their kinds, and the log that records them across runs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from raypipe.state.parquet_table import ParquetTable
from raypipe.state.store import State
from raypipe.state.table_schema import TableSchema

KINDS: Mapping[str, str] = {
    # read
    "changed": "the book changed after it was listed; the next run processes the new version",
    "gone": "the book was deleted after it was listed; nothing to do unless it comes back",
    "denied": "these credentials may not read the book; grant s3:GetObject (or read permission)",
    "archived": "the book is in an archive tier; restore it, then run again",
    "link": "the book is a link that leads nowhere or out of the folder; repair it, remove it, or "
    "set storage.follow_links=true",
    "not_a_file": "the book is a pipe, a socket or a device; remove it, or set storage.suffixes",
    "read": "reading the book from the source failed; run again",
    # text
    "too_large": "the book is too large; raise the limit that the message names, or split the book",
    "empty": "the book has no text; remove it, or add the text",
    "too_short": "the book has fewer words than text.min_words; lower that, or remove the book",
    "binary": "the book is in no format that raypipe reads; convert it to one of them",
    "archive": "the file is a zip archive of several files under another ending; rename it to "
    ".zip, so that each of them is a book",
    "damaged": "the file is damaged, or cut off; upload it again from its origin",
    "encrypted": "the file needs a password or has copy protection; store it without",
    "no_text": "the file has no text, for example images of scanned pages; recognize the text "
    "(OCR)",
    "error_page": "the file is an error page of a web server; download the book again",
    "no_reader": "the package that reads this format is not installed; install the extra that the "
    "message names, then run again",
    "undecodable": "no encoding fits the book; convert it to UTF-8",
    "too_slow": "the text of the book took longer than text.deadline_s; raise that if the machine "
    "is slow or busy, or remove the book",
    # summarize and embed
    "degraded": "indexed with the fallback's summary; `raypipe retry` calls the model again",
    "model": "the model did not answer in several attempts; run again when the service has "
    "recovered",
    "bad_request": "the model rejected the request; see the message, or use another model",
    "service_quota": "a quota of the account is used up; request an increase, then run again",
    "filtered": "the provider's content filter blocked the book; use another model, or leave it "
    "out",
    "too_long": "even a small piece of the book is too long for the model; set smaller chunks",
    "refused": "the model declined to summarize the book; use another model, or leave it out",
    "cut": "the answer was cut off at max_tokens each time; raise it, or request fewer words",
    "bad_answer": "the answer of the model was unusable, also the second time; use another model",
    "killed_worker": "the worker of the book died each time; give workers more memory, or check "
    "the book",
    "unexpected": "an unexpected error; the log has the traceback: please report it",
    # index
    "lost": "the finished document is missing in the state; `raypipe run` recomputes it",
    "bad_vector": "the embedding is not finite or has another dimension; check the embedder",
    "mapper_parsing": "the mapping of the index rejects a field of the document; see the message",
    "pipeline": "the ingest pipeline of the index dropped, changed or sent away the document; "
    "repair or remove the pipeline, then run again",
    "rejected": "OpenSearch rejected the document; see the message, then run again",
    "superseded": "a later run wrote another version; run again to find the valid version",
    "unavailable": "OpenSearch did not accept the document in time; run again when the cluster "
    "has recovered",
}
"""Kinds of failure, each with its cause and its fix."""

INDEX_FAULTS = frozenset({"pipeline", "rejected", "superseded", "unavailable"})
"""Kinds that are never the fault of a book: every later run tries it again."""
NO_READER = "no_reader"
"""A kind that is the fault of the installation: every later run tries the book again."""
_OLD_BINARY = "raypipe reads plain text"
"""End of the message of `binary` failures from before raypipe read other formats."""
_INDEX_ERRORS = ("illegal_argument_exception", "strict_dynamic_mapping_exception")
"""Errors of the index that older versions of raypipe recorded as `mapper_parsing`."""

DEGRADED = "degraded"
"""The only kind of failure whose book is indexed."""

MAX_ATTEMPTS = 3
"""Number of runs that try a book with a retryable failure; after that the failure is permanent."""

FAILURES_SCHEMA = pa.schema(
    [
        ("book_id", pa.string()),
        ("key", pa.string()),
        ("etag", pa.string()),
        ("recipe", pa.string()),
        ("stage", pa.string()),
        ("kind", pa.string()),
        ("message", pa.string()),
        ("retryable", pa.bool_()),
        ("attempts", pa.int32()),
        ("run_seq", pa.int64()),
        ("failed_at", pa.float64()),
    ]
)

FOLDER = "failures"
_SCHEMA = TableSchema(FAILURES_SCHEMA, kind="failures", version=1)


@dataclass(frozen=True, slots=True)
class FailedBook:
    """A failure of a book, as it is recorded in the log.

    Attributes:
        book_id: Id of the book.
        key: Key of the book in its source.
        etag: Its version, as it was listed.
        recipe: Document recipe of the run in which it failed.
        stage: `read`, `text`, `summarize`, `embed` or `index`.
        kind: A kind of `KINDS`.
        message: What happened, without the text of the book.
        retryable: Whether the failure is temporary.
        attempts: Number of attempts, this attempt included.
        run_seq: Number of the run.
        failed_at: When it failed, in seconds since the epoch, UTC.
    """

    book_id: str
    key: str
    etag: str
    recipe: str
    stage: str
    kind: str
    message: str
    retryable: bool
    attempts: int
    run_seq: int
    failed_at: float

    @property
    def advice(self) -> str:
        """Return the cause and the fix of this kind of failure, in one line."""
        return explain(self.kind)

    @property
    def is_permanent(self) -> bool:
        """Whether `raypipe run` leaves the book out, with its default `max_attempts`."""
        if is_index_fault(self.kind, self.message):
            return False
        return not self.retryable or self.attempts >= MAX_ATTEMPTS


@dataclass(frozen=True)
class FailureLog:
    """Record failures as parquet parts; the last failure of a book in each run is kept.

    Args:
        state: Where the parts are kept.
    """

    state: State

    def append(self, rows: Iterable[FailedBook], run_seq: int, task: int | str, seq: int) -> str:
        """Add failures of this run; arguments, result and errors as `Checkpoint.append`."""
        cells = [{**dataclasses.asdict(row), "run_seq": run_seq} for row in rows]
        table = pa.Table.from_pylist(cells, schema=FAILURES_SCHEMA)
        return self._table().write(table, run_seq, task, seq)

    def read_latest(self) -> pa.Table:
        """Return the last failure of each book, resolved failures included; see `unresolved`.

        Raises:
            SetupError: The state cannot be read.
        """
        return self._table(keys=("book_id",)).read_latest()

    def read_run(self, run_seq: int) -> pa.Table:
        """Return the last failure of each book in a run: `FAILURES_SCHEMA`.

        Raises:
            SetupError: The state cannot be read.
        """
        return self._table().read_latest(where={"run_seq": run_seq})

    def read_where(self, column: str, value: str) -> pa.Table:
        """Return the last failure in each run of the books with a `book_id` or a `key`.

        Raises:
            SetupError: The state cannot be read.
        """
        return self._table().read_latest(where={column: value})

    def compact(self, threshold: int = 500) -> int:
        """Merge parts if there are at least `threshold`; see `ParquetTable.compact`."""
        return self._table().compact(threshold)

    def _table(self, keys: tuple[str, ...] = ("run_seq", "book_id")) -> ParquetTable:
        return ParquetTable(self.state, FOLDER, _SCHEMA, keys, order=("run_seq", "failed_at"))


def unresolved(failures: pa.Table, processed: pa.Table) -> pa.Table:
    """Return the failures whose book was not processed since.

    A book that was processed in the same run or a later one has not failed. In the same run, a
    retried task may fail first and succeed then, or fail after its first attempt succeeded.

    Args:
        failures: Rows of `FailureLog`, each book once.
        processed: Columns `book_id` and `run_seq`, each book once, from `Checkpoint.read_latest`
            or, for the failures of a single run, from `Checkpoint.read_run`.
    """
    positions = pc.index_in(failures["book_id"], value_set=processed["book_id"].combine_chunks())
    processed_in = processed["run_seq"].combine_chunks().take(positions.combine_chunks())
    failed_in = failures["run_seq"].combine_chunks()
    is_resolved = pc.fill_null(pc.greater_equal(processed_in, failed_in), False)
    return failures.filter(pc.invert(is_resolved))


def is_index_fault(kind: str, message: str = "") -> bool:
    """Return whether a failure is the fault of the index, so that the book is always tried again.

    So is a book whose format this installation, or an older version of raypipe, could not read.

    Args:
        kind: Kind of the failure.
        message: Its message, for the failures of older versions.
    """
    if kind in INDEX_FAULTS or kind == NO_READER:
        return True
    if kind == "binary":
        return message.endswith(_OLD_BINARY)
    is_error = any(error in message for error in _INDEX_ERRORS)
    return kind == "mapper_parsing" and is_error and "immense term" not in message


def explain(kind: str) -> str:
    """Return the cause and the fix of a kind of failure, in one line."""
    return KINDS.get(kind, "a kind of another version of raypipe; see the message")


def group_by_kind(failed: Sequence[FailedBook]) -> list[tuple[str, list[FailedBook]]]:
    """Return the failures of each kind, the most frequent kind first."""
    groups: dict[str, list[FailedBook]] = {}
    for book in failed:
        groups.setdefault(book.kind, []).append(book)
    return sorted(groups.items(), key=lambda group: (-len(group[1]), group[0]))


def describe_way_out(books: Sequence[FailedBook]) -> list[str]:
    """Return a line for each command that processes some of the failed books again."""
    ready = sum(not book.is_permanent for book in books)
    retried = sum(book.is_permanent and book.retryable for book in books)
    ways = {
        "`raypipe run` tries again": ready,
        "`raypipe retry` tries again": retried,
        "`raypipe retry all=true` tries again, and `raypipe run` once the book or the options "
        "change": len(books) - ready - retried,
    }
    return [f"{count:,} that {way}" for way, count in ways.items() if count]


@dataclass(frozen=True)
class KindReport:
    """A kind of failure for JSON.

    Attributes:
        kind: The kind, see `KINDS`.
        books: Number of books that failed so.
        advice: Its cause and its fix.
    """

    kind: str
    books: int
    advice: str


@dataclass(frozen=True)
class FailuresReport:
    """Failures for JSON.

    Attributes:
        failed: Number of failed books.
        kinds: The kinds of failure, the most frequent first.
        failures: Each failed book: the fields of `FailedBook`, `advice` and `permanent`.
    """

    failed: int
    kinds: list[KindReport]
    failures: list[dict[str, Any]]

    @classmethod
    def of(cls, failed: Sequence[FailedBook]) -> FailuresReport:
        """Return the report of failures."""
        kinds = [
            KindReport(kind, len(books), explain(kind)) for kind, books in group_by_kind(failed)
        ]
        rows = [
            {**dataclasses.asdict(book), "advice": book.advice, "permanent": book.is_permanent}
            for book in failed
        ]
        return cls(len(failed), kinds, rows)
