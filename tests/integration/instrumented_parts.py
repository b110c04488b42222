"""Parts of a run that record their calls, wait at a gate, or fail, as a test asks for.

A test and all workers share a folder, the `Journal`. Its file `<event>` has one line for each time
that the event happened, and `hold-<gate>` closes a gate at which workers wait.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from raypipe.core.book import Book
from raypipe.core.errors import BookError
from raypipe.core.stop import StopCheck, never_stopped
from raypipe.embedders.hash import HashEmbedder
from raypipe.embedders.protocol import InputType
from raypipe.ledger.checkpoint import Checkpoint, CheckpointSettings, Processed
from raypipe.sources.local import LocalBookSource
from raypipe.sources.s3 import S3BookSource
from raypipe.state.local import LocalState
from raypipe.state.store import State
from raypipe.summarizers.lead import LeadSummarizer
from raypipe.summarizers.protocol import Summary
from raypipe.text import CleanText

KILLS_WORKER = "KILLS_WORKER-ITS-WORKER"
"""In the title of a book that kills its worker while the journal has the event `deadly`."""
ZERO_VECTOR = "HAS-NO-VECTOR"
"""In the title of a book that gets a vector of zeros, which cosine similarity does not accept."""
ENDLESS_FLAG = "HAS-AN-ENDLESS-FLAG"
"""In the title of a book that gets a flag longer than Lucene's longest term."""
HOLD_TIMEOUT_S = 300.0
"""Longest time that a part waits at a closed gate."""
CRASHES_AT_START = 2
"""Actors that `CrashingAtStartSummarizer` ends before one of them starts."""


@dataclass(frozen=True)
class Journal:
    """Events and gates that a test and its workers share through a folder."""

    folder: str

    def record(self, event: str, line: str) -> int:
        """Add a line to an event and return the number of its lines."""
        with (Path(self.folder) / event).open("a") as file:
            file.write(f"{line}\n")
        return len(self.lines(event))

    def lines(self, event: str) -> list[str]:
        path = Path(self.folder) / event
        return path.read_text().splitlines() if path.exists() else []

    def take(self, event: str) -> list[str]:
        """Return the lines of an event and delete them."""
        lines = self.lines(event)
        (Path(self.folder) / event).unlink(missing_ok=True)
        return lines

    def hold(self, gate: str, after: int) -> None:
        """Close a gate after this many more calls have passed it."""
        for name in (f"at-{gate}", f"wait-{gate}"):
            (Path(self.folder) / name).unlink(missing_ok=True)
        (Path(self.folder) / f"hold-{gate}").write_text(str(after))

    def release(self, gate: str) -> None:
        """Open a gate."""
        (Path(self.folder) / f"hold-{gate}").unlink()

    def wait_if_held(self, gate: str) -> None:
        """Pass a gate, or wait there until the test opens it."""
        hold = Path(self.folder) / f"hold-{gate}"
        if not hold.exists() or self.record(f"at-{gate}", "") <= int(hold.read_text()):
            return
        self.record(f"wait-{gate}", str(os.getpid()))
        deadline = time.monotonic() + HOLD_TIMEOUT_S
        while hold.exists() and time.monotonic() < deadline:
            time.sleep(0.02)

    def count_waiting(self, gate: str) -> int:
        """Return how many processes have waited at a gate since the test closed it."""
        return len(set(self.lines(f"wait-{gate}")))


@dataclass(frozen=True)
class JournalingLocalSource(LocalBookSource):
    """Records `reads`, passes the gate `read`, and cannot read some keys.

    Those in `unreadable` fail; the files of those in `vanishing` are deleted before.
    """

    journal: str = ""

    def read(self, book: Book) -> bytes:
        journal = Journal(self.journal)
        journal.record("reads", book.key)
        journal.wait_if_held("read")
        if book.key in journal.lines("unreadable"):
            raise BookError("read", f"{book.key}: the source does not respond", retryable=True)
        if book.key in journal.lines("vanishing"):
            (Path(self.path) / book.key).unlink()
        return super().read(book)


@dataclass(frozen=True)
class JournalingS3Source(S3BookSource):
    """Records `reads` and passes the gate `read`."""

    journal: str = ""

    def read(self, book: Book) -> bytes:
        journal = Journal(self.journal)
        journal.record("reads", book.key)
        journal.wait_if_held("read")
        return super().read(book)


@dataclass(frozen=True)
class JournalingSummarizer(LeadSummarizer):
    """Records `summaries`, passes the gate `summarize`, and fails for the titles above."""

    journal: str = ""
    seconds: float = 0.0
    """Added to the time of each book, as a model's answer takes time on any machine."""

    def summarize(self, book: CleanText, stop_check: StopCheck = never_stopped) -> Summary:
        journal = Journal(self.journal)
        journal.record("summaries", book.title)
        journal.wait_if_held("summarize")
        time.sleep(self.seconds)
        if KILLS_WORKER in book.title and journal.lines("deadly"):
            journal.record("deaths", book.title)
            os.kill(os.getpid(), signal.SIGKILL)
        summary = super().summarize(book, stop_check)
        return replace(summary, flags=("x" * 40_000,)) if ENDLESS_FLAG in book.title else summary


@dataclass(frozen=True)
class CrashingAtStartSummarizer(JournalingSummarizer):
    """Ends the first `CRASHES_AT_START` actors that unpickle it."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        import ray

        self.__dict__.update(state)
        journal = Journal(self.journal)
        in_actor = ray.is_initialized() and ray.get_runtime_context().get_actor_id()
        if in_actor and len(journal.lines("starts")) < CRASHES_AT_START:
            journal.record("starts", "lost")
            os._exit(1)


@dataclass(frozen=True)
class ZeroVectorEmbedder(HashEmbedder):
    """Returns a vector of zeros for texts that contain `ZERO_VECTOR`."""

    def embed(
        self, texts: Sequence[str], *, input_type: InputType = "document"
    ) -> NDArray[np.float32]:
        vectors = super().embed(texts, input_type=input_type)
        for vector, text in zip(vectors, texts, strict=True):
            if ZERO_VECTOR in text:
                vector[:] = 0.0
        return vectors


@dataclass(frozen=True)
class FullDiskCheckpoint(Checkpoint):
    """A checkpoint on a full disk: it writes no part."""

    def append(self, rows: Iterable[Processed], run_seq: int, task: int | str, seq: int) -> str:
        assert isinstance(self.state, LocalState)
        with patch("os.fsync", side_effect=OSError(errno.ENOSPC, "No space left on device")):
            return super().append(rows, run_seq, task, seq)


@dataclass(frozen=True)
class FullDiskCheckpointSettings(CheckpointSettings):
    """The settings of a `FullDiskCheckpoint`."""

    def open(self, state: State) -> Checkpoint:
        return FullDiskCheckpoint(state)


@dataclass(frozen=True)
class HeldCheckpoint(Checkpoint):
    """Passes the gate `ledger` after the bulk response and before the ledger is written."""

    journal: str

    def append(self, rows: Iterable[Processed], run_seq: int, task: int | str, seq: int) -> str:
        Journal(self.journal).wait_if_held("ledger")
        return super().append(rows, run_seq, task, seq)


@dataclass(frozen=True)
class HeldCheckpointSettings(CheckpointSettings):
    """The settings of a `HeldCheckpoint`."""

    journal: str = ""

    def open(self, state: State) -> Checkpoint:
        return HeldCheckpoint(state, self.journal)
