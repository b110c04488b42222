"""Parts of a run that mark where it is, so that a kill is known by the place that it hit.

A mark is a file that is there as long as something is done: `<phase>-<process>-<number>`.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raypipe.core.book import Book
from raypipe.core.stop import StopCheck, never_stopped
from raypipe.ledger.checkpoint import Checkpoint, CheckpointSettings, Processed
from raypipe.opensearch.connection.client import Connection
from raypipe.sources.s3 import S3BookSource
from raypipe.state.store import State
from raypipe.summarizers.lead import LeadSummarizer
from raypipe.summarizers.protocol import Summary
from raypipe.text import CleanText

WRITER_PHASES = ("documents", "bulk", "ledger")
"""Where a writer is with a group: the documents part is written, the bulk request is sent, and the
bulk request is acknowledged."""
PHASES = ("read", "summarize", *WRITER_PHASES, "compaction", "swap")
COMPACT_AT = 4
LONG_S = 0.03
"""What lasts a moment is drawn out to this many seconds, so that kills can hit it."""
_number = itertools.count()


@contextmanager
def mark(folder: str, phase: str) -> Iterator[None]:
    """Leave a mark while the block runs."""
    path = Path(folder) / f"{phase}-{os.getpid()}-{next(_number)}"
    path.touch()
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def marked(folder: Path) -> set[str]:
    """Return the phases that are under way."""
    return {path.name.partition("-")[0] for path in folder.glob("*-*")}


def marks_of_writers(folder: Path) -> dict[int, list[Path]]:
    """Return the marks of groups that are being written, by process."""
    marks: dict[int, list[Path]] = {}
    for path in folder.glob("*-*-*"):
        phase, process, _ = path.name.split("-")
        if phase in WRITER_PHASES:
            marks.setdefault(int(process), []).append(path)
    return marks


@dataclass(frozen=True)
class MarkingS3Store(S3BookSource):
    """Marks reads and records each of them."""

    marks: str = ""
    reads: str = ""

    def read(self, book: Book) -> bytes:
        """Return a book's bytes."""
        with mark(self.marks, "read"):
            with Path(self.reads).open("a") as file:
                file.write(f"{book.book_id}\n")
            return super().read(book)


@dataclass(frozen=True)
class MarkingSummarizer(LeadSummarizer):
    """Takes as long as a quick model."""

    marks: str = ""

    def summarize(self, book: CleanText, stop_check: StopCheck = never_stopped) -> Summary:
        """Return the summary of a book."""
        with mark(self.marks, "summarize"):
            time.sleep(LONG_S / 5)
            return super().summarize(book, stop_check)


@dataclass(frozen=True)
class MarkingConnection(Connection):
    """Marks bulk requests and the request that lets an alias go over."""

    marks: str = ""

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Make one request."""
        phase = {"_bulk": "bulk", "_aliases": "swap"}.get(path.rpartition("/")[2])
        if phase is None:
            return super().send(method, path, params=params, body=body, headers=headers)
        if phase == "bulk":
            with mark(self.marks, "documents"):
                time.sleep(LONG_S)
        with mark(self.marks, phase):
            if phase == "swap":
                time.sleep(LONG_S * 5)
            found = super().send(method, path, params=params, body=body, headers=headers)
            if phase == "swap":
                time.sleep(LONG_S * 5)
            return found


@dataclass(frozen=True)
class MarkingCheckpoint(Checkpoint):
    """Marks what lies between the bulk's answer and the ledger, and compaction."""

    marks: str

    def append(self, rows: Iterable[Processed], run_seq: int, task: int | str, seq: int) -> str:
        """Add acknowledged documents."""
        with mark(self.marks, "ledger"):
            time.sleep(LONG_S)
            return super().append(rows, run_seq, task, seq)

    def compact(self, threshold: int = 500) -> int:
        """Merge parts if there are a few."""
        with mark(self.marks, "compaction"):
            time.sleep(LONG_S)
            return super().compact(min(threshold, COMPACT_AT))


@dataclass(frozen=True)
class MarkingCheckpointSettings(CheckpointSettings):
    """Open checkpoints that mark their work."""

    marks: str = ""

    def open(self, state: State) -> Checkpoint:
        """Return the checkpoint in a state."""
        return MarkingCheckpoint(state, self.marks)
