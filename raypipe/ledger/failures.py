"""Books that failed: the kinds there are, and the log that keeps them from being forgotten."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raypipe.state.parquet_table import ParquetTable
from raypipe.state.store import State
from raypipe.state.table_schema import TableSchema

KINDS: Mapping[str, str] = {
    # read
    "changed": "it changed after it was listed; the next run takes it as it is now",
    "gone": "it was removed after it was listed; nothing to do",
    "denied": "these credentials may not read it; grant s3:GetObject (or read permission) on it",
    "archived": "it is in an archive tier; restore it, then run again",
    "read": "the source did not deliver it; run again",
    # text
    "too_large": "it is larger than allowed; raise the limit the message names, or split it",
    "empty": "no text is in it; remove it or put the text there",
    "too_short": "it has fewer words than text.min_words; lower that, or remove the book",
    "binary": "it is no plain text; convert it to text",
    "undecodable": "no encoding fits it; convert it to UTF-8",
    # summarize and embed
    "degraded": "it is indexed with the fallback's summary; `raypipe retry` asks the model again",
    "model": "the model did not answer in several tries; run again when the service is well",
    "bad_request": "the model does not take such a request; see the message, or take another model",
    "service_quota": "a quota of the account is used up; have it raised, then run again",
    "filtered": "the provider's content filter stopped it; take another model, or leave it out",
    "too_long": "even a small piece of it is too long for the model; set smaller chunks",
    "refused": "the model declined to summarize it; take another model, or leave it out",
    "cut": "the answer was cut off at max_tokens each time; raise it, or ask for fewer words",
    "bad_answer": "the model's answer was of no use, also when asked again; take another model",
    "killed_worker": "its worker died each time; give workers more memory, or look at the book",
    "unexpected": "raypipe did not foresee this; the log has the traceback: please report it",
    # index
    "lost": "its finished document is gone from the state; `raypipe run` makes it anew",
    "bad_vector": "its embedding is not finite or has another dimension; check the embedder",
    "mapper_parsing": "the index's mapping does not take a field of it; see the message",
    "rejected": "OpenSearch refused the document for good; see the message",
    "superseded": "a later run wrote another version of it; run again to see which one counts",
    "unavailable": "OpenSearch did not take it in time; run again when the cluster is well",
}
"""Kinds of failure: what happened and what to do about it."""

DEGRADED = "degraded"
"""The one kind of failure whose book is indexed all the same."""

MAX_ATTEMPTS = 3
"""A failure that may pass is tried in this many runs; then it counts as lasting."""

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
_FORM = TableSchema(FAILURES_SCHEMA, kind="failures", version=1)


@dataclass(frozen=True, slots=True)
class FailedBook:
    """One failure of one book, as the log keeps it."""

    book_id: str
    key: str
    etag: str
    recipe: str  # the document recipe it failed on the way to
    stage: str  # read | text | summarize | embed | index
    kind: str
    message: str
    retryable: bool
    attempts: int  # this one included
    run_seq: int
    failed_at: float  # seconds since the epoch, UTC


@dataclass(frozen=True)
class FailureLog:
    """Failures as parquet parts; every run's last failure of a book is kept.

    Args:
        state: Where.
    """

    state: State

    def append(self, rows: Iterable[FailedBook], run_seq: int, task: int | str, seq: int) -> str:
        """Add failures of this run; arguments and errors as `Checkpoint.append`."""
        cells = [{**dataclasses.asdict(row), "run_seq": run_seq} for row in rows]
        table = pa.Table.from_pylist(cells, schema=FAILURES_SCHEMA)
        return self._parts().write(table, run_seq, task, seq)

    def known(self) -> pa.Table:
        """Return the last failure of each book; `standing` tells which still count."""
        return self._parts(keys=("book_id",)).latest()

    def of_run(self, run_seq: int) -> pa.Table:
        """Return the last failure of each book in one run; `FAILURES_SCHEMA`."""
        return self._parts().latest(where={"run_seq": run_seq})

    def compact(self, threshold: int = 500) -> int:
        """Merge parts if there are too many; see `ParquetTable.compact`."""
        return self._parts().compact(threshold)

    def _parts(self, keys: tuple[str, ...] = ("run_seq", "book_id")) -> ParquetTable:
        return ParquetTable(self.state, FOLDER, _FORM, keys, order=("run_seq", "failed_at"))


def unresolved(failures: pa.Table, processed: pa.Table) -> pa.Table:
    """Return the failures that were not made good since.

    A book that the same run, or a later one, saw acknowledged has not failed: in one run a
    task that was retried may fail at first, or fail after its first try was acknowledged.

    Args:
        failures: Of `FailureLog`, each book once.
        processed: Columns `book_id` and `run_seq`, each book once, as
            `Checkpoint.history` or, for one run's failures, `Checkpoint.of_run` gives them.
    """
    at = pc.index_in(failures["book_id"], value_set=processed["book_id"].combine_chunks())
    later = processed["run_seq"].combine_chunks().take(at.combine_chunks())
    made_good = pc.fill_null(pc.greater_equal(later, failures["run_seq"].combine_chunks()), False)
    return failures.filter(pc.invert(made_good))


def permanent(failures: pa.Table, max_attempts: int = MAX_ATTEMPTS) -> pa.Table:
    """Return the failures that a run does not take up, until ETag or recipe change."""
    given_up = np.asarray(failures["attempts"].to_numpy()) >= max_attempts
    return failures.filter(pc.or_(pc.invert(failures["retryable"]), pa.array(given_up)))


def explain(kind: str) -> str:
    """Return what a kind of failure means and what to do about it, in one line."""
    return KINDS.get(kind, "another version of raypipe knows this kind; see the message")
