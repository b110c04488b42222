"""Parts for tests of whole runs: they note what they do, and wait or fail where a test says so.

Notes are files in a folder that the test and every worker see: `<what>` has one line for each
time something was done, `hold-<place>` makes who comes to a place wait there.
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

KILLS = "KILLS-ITS-WORKER"
"""A book whose title holds this kills its worker while the note `deadly` is there."""
NO_VECTOR = "HAS-NO-VECTOR"
"""A book whose title holds this gets a vector of zeros, which cosine similarity cannot take."""
REFUSED = "HAS-AN-ENDLESS-FLAG"
"""A book whose title holds this gets a flag that is longer than Lucene's longest term."""
SECONDS = 300.0
"""Longest time that a part waits to be let go."""


@dataclass(frozen=True)
class Notes:
    """The folder of notes, as the test and the workers use it."""

    folder: str

    def add(self, what: str, line: str) -> int:
        """Add a line; returns how many lines there are now."""
        with (Path(self.folder) / what).open("a") as file:
            file.write(f"{line}\n")
        return len(self.lines(what))

    def lines(self, what: str) -> list[str]:
        path = Path(self.folder) / what
        return path.read_text().splitlines() if path.exists() else []

    def take(self, what: str) -> list[str]:
        """Return the lines and forget them."""
        lines = self.lines(what)
        (Path(self.folder) / what).unlink(missing_ok=True)
        return lines

    def hold(self, place: str, after: int) -> None:
        """Let those who come to a place wait, but for the first ones from now on."""
        for name in (f"at-{place}", f"wait-{place}"):
            (Path(self.folder) / name).unlink(missing_ok=True)
        (Path(self.folder) / f"hold-{place}").write_text(str(after))

    def let_go(self, place: str) -> None:
        (Path(self.folder) / f"hold-{place}").unlink()

    def pass_by(self, place: str) -> None:
        """Come to a place: count, and wait there if the test holds it."""
        hold = Path(self.folder) / f"hold-{place}"
        if not hold.exists() or self.add(f"at-{place}", "") <= int(hold.read_text()):
            return
        self.add(f"wait-{place}", str(os.getpid()))
        deadline = time.monotonic() + SECONDS
        while hold.exists() and time.monotonic() < deadline:
            time.sleep(0.02)

    def waiting(self, place: str) -> int:
        """Return how many processes came to wait at a place since the test held it."""
        return len(set(self.lines(f"wait-{place}")))


@dataclass(frozen=True)
class NotingLocalStore(LocalBookSource):
    notes: str = ""

    def read(self, book: Book) -> bytes:
        notes = Notes(self.notes)
        notes.add("reads", book.key)
        notes.pass_by("read")
        if book.key in notes.lines("unreadable"):
            raise BookError("read", f"{book.key}: the source is not well", retryable=True)
        return super().read(book)


@dataclass(frozen=True)
class NotingS3Store(S3BookSource):
    notes: str = ""

    def read(self, book: Book) -> bytes:
        notes = Notes(self.notes)
        notes.add("reads", book.key)
        notes.pass_by("read")
        return super().read(book)


@dataclass(frozen=True)
class NotingSummarizer(LeadSummarizer):
    notes: str = ""
    seconds: float = 0.0
    """What a book takes at least, whatever the cores do: as long as a model's answer takes."""

    def summarize(self, book: CleanText, stop_check: StopCheck = never_stopped) -> Summary:
        notes = Notes(self.notes)
        notes.add("summaries", book.title)
        notes.pass_by("summarize")
        time.sleep(self.seconds)
        if KILLS in book.title and notes.lines("deadly"):
            notes.add("deaths", book.title)
            os.kill(os.getpid(), signal.SIGKILL)
        summary = super().summarize(book, stop_check)
        return replace(summary, flags=("x" * 40_000,)) if REFUSED in book.title else summary


STARTS_LOST = 2


@dataclass(frozen=True)
class LateSummarizer(NotingSummarizer):
    """Takes its worker with it when it arrives there, the first times."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        import ray

        self.__dict__.update(state)
        notes = Notes(self.notes)
        in_actor = ray.is_initialized() and ray.get_runtime_context().get_actor_id()
        if in_actor and len(notes.lines("starts")) < STARTS_LOST:
            notes.add("starts", "lost")
            os._exit(1)


@dataclass(frozen=True)
class SometimesZeroEmbedder(HashEmbedder):
    def embed(
        self, texts: Sequence[str], *, input_type: InputType = "document"
    ) -> NDArray[np.float32]:
        vectors = super().embed(texts, input_type=input_type)
        for vector, text in zip(vectors, texts, strict=True):
            if NO_VECTOR in text:
                vector[:] = 0.0
        return vectors


@dataclass(frozen=True)
class FullDiskCheckpoint(Checkpoint):
    """A checkpoint whose disk is full from the first part on."""

    def append(self, rows: Iterable[Processed], run_seq: int, task: int | str, seq: int) -> str:
        assert isinstance(self.state, LocalState)
        with patch("os.fsync", side_effect=OSError(errno.ENOSPC, "No space left on device")):
            return super().append(rows, run_seq, task, seq)


@dataclass(frozen=True)
class FullDiskCheckpointSettings(CheckpointSettings):
    def open(self, state: State) -> Checkpoint:
        return FullDiskCheckpoint(state)


@dataclass(frozen=True)
class WaitingCheckpoint(Checkpoint):
    notes: str

    def append(self, rows: Iterable[Processed], run_seq: int, task: int | str, seq: int) -> str:
        Notes(self.notes).pass_by("ledger")  # the bulk has answered, the ledger knows nothing yet
        return super().append(rows, run_seq, task, seq)


@dataclass(frozen=True)
class WaitingCheckpointSettings(CheckpointSettings):
    notes: str = ""

    def open(self, state: State) -> Checkpoint:
        return WaitingCheckpoint(state, self.notes)
