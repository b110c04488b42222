"""Parts for the kill tests: they note what they read, and wait at a given place to be killed."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from raypipe.book import Book
from raypipe.checkpoint import Checkpoint, Processed
from raypipe.storage.local import LocalBookStore
from raypipe.summarizers import Summary
from raypipe.summarizers.passthrough import LeadSummarizer
from raypipe.text import CleanText

AFTER = 7
"""Books that are done before a part begins to wait."""


def notes() -> Path:
    return Path(os.environ["RAYPIPE_TEST_NOTES"])


def wait_if(place: str) -> None:
    """Wait for ever at the place that the test named: it kills us there."""
    if os.environ.get("RAYPIPE_TEST_WAIT_AT") == place:
        (notes() / f"waiting-{place}").touch()
        time.sleep(300)


def count(place: str) -> int:
    """Return how often this was called, over all processes of the run."""
    with (notes() / f"count-{place}").open("a") as file:
        file.write("x")
        return file.tell()


@dataclass(frozen=True)
class NotingStore(LocalBookStore):
    def read(self, book: Book) -> bytes:
        with (notes() / "reads").open("a") as file:
            file.write(f"{book.book_id}\n")
        if count("read") > AFTER:
            wait_if("read")
        return super().read(book)


@dataclass(frozen=True)
class WaitingSummarizer(LeadSummarizer):
    def summarize(self, book: CleanText) -> Summary:
        if count("summarize") > AFTER:
            wait_if("summarize")
        return super().summarize(book)


@dataclass(frozen=True)
class WaitingCheckpoint(Checkpoint):
    def append(self, rows: Sequence[Processed], run_seq: int, task: int, seq: int) -> None:
        if count("ledger") > 2:
            wait_if("ledger")
        super().append(rows, run_seq, task, seq)
