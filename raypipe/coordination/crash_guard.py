"""Begin and end marks around a stage's books: how a stop and a deadly book are noticed."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from raypipe.coordination.run_coordinator import MAX_WORKER_DEATHS, Coordinator
from raypipe.core.book import Failure, Row
from raypipe.core.errors import BookError

ASK_EVERY_S = 1.0
"""Between two questions, inside a parcel, whether the run stops: each costs about 1 ms."""


@dataclass
class CrashGuard:
    """Begin and end marks around the books of one stage, and what a worker's death means."""

    marks: Coordinator
    stage: str
    _asked: float = 0.0
    _stop: str = ""  # once a run stops, it does not begin again

    def admit(self, rows: list[Row]) -> tuple[list[Row], bool]:
        """Mark the open rows as begun; rows come back left if the run stops.

        Returns:
            The rows, and whether they must go one by one since a worker died on them.
        """
        ids = [row.book.book_id for row in rows if row.is_open]
        if not ids:
            return rows, False
        self._asked = time.monotonic()
        verdict = self.marks.begin(self.stage, ids)
        if verdict.stop:
            return [replace(row, left=verdict.stop) if row.is_open else row for row in rows], False
        return rows, any(verdict.deaths)

    def stopped(self) -> str:
        """Return why no further book of this parcel may begin, or an empty string."""
        now = time.monotonic()
        if not self._stop and now - self._asked >= ASK_EVERY_S:
            self._asked, self._stop = now, self.marks.stopped()
        return self._stop

    def alone(self, row: Row) -> Row:
        """Mark one suspect as begun; one that killed its workers comes back failed."""
        verdict = self.marks.begin(self.stage, [row.book.book_id], alone=True)
        if verdict.stop:
            return replace(row, left=verdict.stop)
        if verdict.deaths[0] < MAX_WORKER_DEATHS:
            return row
        message = (
            f"{row.book.key}: the worker died {MAX_WORKER_DEATHS} times on it (memory, or a crash)"
        )
        return failed_row(row, self.stage, BookError("killed_worker", message, retryable=True))

    def survived(self, row: Row) -> Row:
        """Forget the marks of a suspect: the worker may still die on one that comes after it."""
        self.marks.end(self.stage, [row.book.book_id])
        return row

    def finish(self, rows: list[Row], began: float) -> None:
        """Forget the marks and report the time since `began` (`time.monotonic`)."""
        seconds = time.monotonic() - began
        self.marks.end(self.stage, [row.book.book_id for row in rows], seconds)


def failed_row(row: Row, stage: str, error: BookError) -> Row:
    """Return the row as a failure, its message with the book's key."""
    key, message = row.book.key, error.message
    message = message if key in message else f"{key}: {message}"
    failure = Failure(stage, error.kind, message[:500], error.retryable, row.book.attempts + 1)
    return replace(row, document=None, failure=failure)
