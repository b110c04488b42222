"""Find the book that kills its worker, and pass a stop on to the books of a batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from raypipe.coordination.run_coordinator import MAX_WORKER_DEATHS, Coordinator
from raypipe.coordination.stage_times import StageClock
from raypipe.core.book import Failure, Row
from raypipe.core.errors import BookError

STOP_CHECK_INTERVAL_S = 1.0
"""Seconds between two checks, within a batch, whether the run stops; each costs about 1 ms."""


@dataclass
class CrashGuard:
    """Record the start and the end of each book in one stage.

    A book that was started and never finished killed its worker. Ray retries the batch on a new
    worker; its books are then processed one by one, and the book that kills
    `MAX_WORKER_DEATHS` workers fails.

    Args:
        coordinator: The run's coordinator.
        stage: Name of the stage.
        clock: Collects the times of books, which `finish` reports.
    """

    coordinator: Coordinator
    stage: str
    clock: StageClock = field(default_factory=StageClock)
    _checked_at: float = 0.0
    _stop_reason: str = ""  # kept: a run that stops does not continue

    def start(self, rows: list[Row]) -> tuple[list[Row], frozenset[str]]:
        """Record the start of the open rows; if the run stops, return them as left.

        Returns:
            The rows, and the ids of the books on which a worker may have died. If there are any,
            no start is recorded, and these books must be processed with `isolate`.
        """
        ids = [row.book.book_id for row in rows if row.is_open]
        if not ids:
            return rows, frozenset()
        self._checked_at = time.monotonic()
        decision = self.coordinator.start(self.stage, ids)
        if reason := decision.stop_reason:
            return [replace(row, left=reason) if row.is_open else row for row in rows], frozenset()
        deaths = zip(ids, decision.worker_deaths, strict=True)
        return rows, frozenset(book_id for book_id, died in deaths if died)

    def stop_reason(self) -> str:
        """Return why no further book of the batch may start, or '' to continue.

        Asks the coordinator at most once every `STOP_CHECK_INTERVAL_S`.
        """
        now = time.monotonic()
        if not self._stop_reason and now - self._checked_at >= STOP_CHECK_INTERVAL_S:
            self._checked_at, self._stop_reason = now, self.coordinator.stop_reason()
        return self._stop_reason

    @contextmanager
    def stop_at_error(self) -> Iterator[None]:
        """Stop the run with the message of an error that would fail every book.

        Ray Data replaces the exception of a function by another, without its cause.
        """
        try:
            yield
        except Exception as error:
            self.coordinator.stop(str(error))
            raise

    def check_soon(self) -> None:
        """Let the next `stop_reason` ask the coordinator: a book failed, and the run may stop."""
        self._checked_at = float("-inf")

    def isolate(
        self, row: Row, process: Callable[[Row], Row], *, even_if_stopped: bool = False
    ) -> Row:
        """Process one row under its own record, so that a worker's death points at its book.

        The record is forgotten right after: the worker may still die on the next book.

        Args:
            row: An open row of a batch on which a worker died.
            process: Does the stage's work.
            even_if_stopped: Process the row although the run stops.

        Returns:
            The processed row; left if the run stops; failed if the book killed its workers.
        """
        ids = [row.book.book_id]
        decision = self.coordinator.start(self.stage, ids, isolated=True)
        if decision.stop_reason and not even_if_stopped:
            return replace(row, left=decision.stop_reason)
        if any(deaths >= MAX_WORKER_DEATHS for deaths in decision.worker_deaths):
            message = (
                f"{row.book.key}: the worker died {MAX_WORKER_DEATHS} times while processing it "
                "(out of memory, or a crash)"
            )
            return failed_row(row, self.stage, BookError("killed_worker", message, retryable=True))
        processed = process(row)
        self.coordinator.finish(self.stage, ids)
        return processed

    def isolate_each(self, rows: list[Row], process: Callable[[list[Row]], list[Row]]) -> list[Row]:
        """Process the open rows of a batch on which a worker died, each alone; see `isolate`.

        Args:
            rows: The rows.
            process: Does the stage's work on a batch.
        """
        return [
            self.isolate(row, lambda row: process([row])[0]) if row.is_open else row for row in rows
        ]

    def finish(self, rows: list[Row], started: float) -> None:
        """Forget the starts of a batch and report its working time, and the times of its books.

        Args:
            rows: The rows of the batch.
            started: When the batch was started (`time.monotonic`).
        """
        seconds = time.monotonic() - started
        ids, size = [row.book.book_id for row in rows], sum(row.book.size for row in rows)
        self.coordinator.finish(self.stage, ids, seconds, size, self.clock.take())


def failed_row(row: Row, stage: str, error: BookError) -> Row:
    """Return the row as a failure; its message begins with the book's key if it lacks it."""
    key, message = row.book.key, error.message
    message = message if key in message else f"{key}: {message}"
    failure = Failure(stage, error.kind, message[:500], error.retryable, row.book.attempts + 1)
    return replace(row, document=None, failure=failure)
