"""Carry books through all stages in the threads of one process."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import nullcontext
from functools import partial
from typing import Any

from raypipe.core.book import Book, Row, with_valid_text
from raypipe.run.batches import BatchLimits, split_into_batches
from raypipe.run.book_sink import BookSink
from raypipe.run.stages.embed import Embed
from raypipe.run.stages.summarize import Summarize


class Pipeline:
    """Reads, summarizes and embeds books in threads, and hands them to the sink.

    A thread takes a batch from the source to the sink, which writes the books of all threads in
    groups. No thread waits for a group, so there are as many threads as model calls in flight.

    Args:
        summarize: Reads and summarizes.
        embed: Embeds.
        sink: Writes.
        limits: Limits of a batch, which a thread processes as a whole.
        starts: Limits of the books whose start is recorded by one call to the coordinator. After
            a worker's death, as many books are processed one by one.
        threads: Number of batches that are processed at the same time.
        shares_embedder: Whether threads may embed at the same time.
        grace_s: Seconds that started books have to finish after an error that ends the run.
    """

    def __init__(
        self,
        summarize: Summarize,
        embed: Embed,
        sink: BookSink,
        limits: BatchLimits,
        starts: BatchLimits,
        threads: int,
        *,
        shares_embedder: bool,
        grace_s: float = 0.0,
    ) -> None:
        self._summarize = summarize
        self._embed = embed
        self._sink = sink
        self._coordinator = summarize.coordinator
        self._limits = limits
        self._starts = starts
        self._guard = summarize.guard
        self._embedding: Any = nullcontext() if shares_embedder else threading.Lock()
        self._grace_s = grace_s
        self._embed_seconds = 0.0
        self._threads = Threads(threads)

    def run(self, books: Iterable[Book]) -> None:
        """Process books; return once each is in the ledger, or the run stops.

        Several calls at the same time share the threads.

        Raises:
            SetupError: Every book would fail, or the ledger cannot be written.
            SinkError: The index is deleted, or refuses these credentials.
        """
        written = Written()
        batches = self._started(books, written)
        while True:
            self._threads.reserve()  # first: a batch that waits would miss a stop
            started = next(batches, None)
            if started is None:
                self._threads.release()
                break
            written.begin()
            self._threads.submit(partial(self._carry, *started, written))
        if error := written.wait():
            self._coordinator.stop(str(error))
            written.wait_for_rest(self._grace_s)
            raise error
        seconds, self._embed_seconds = self._embed_seconds, 0.0
        self._coordinator.finish("embed", [], seconds)

    def close(self) -> None:
        """End the threads, each after the batch that it processes."""
        self._threads.close()

    def _started(self, books: Iterable[Book], written: Written) -> Iterator[tuple[list[Row], bool]]:
        """Yield batches of books whose start is recorded, and whether to isolate their books."""
        for together in split_into_batches(books, self._starts):
            rows, suspects = self._guard.start([Row(book) for book in together])
            if suspects:
                yield [row for row in rows if row.book.book_id in suspects], True
                together = [book for book in together if book.book_id not in suspects]
                rows, _ = self._guard.start([Row(book) for book in together])
            if written.has_failed or any(row.left for row in rows):
                return  # the remaining books are left; the balance counts them
            for batch in split_into_batches(together, self._limits):
                yield [Row(book) for book in batch], False

    def _carry(self, rows: list[Row], isolate: bool, written: Written) -> None:
        """Take a batch to the sink."""
        try:
            started = time.monotonic()
            rows = self._guard.isolate_each(rows, self._process) if isolate else self._process(rows)
            self._guard.finish(rows, started)
            written.follow(self._sink.submit(with_valid_text(rows)))
            if any(row.failure for row in rows):
                self._guard.check_soon()
        except BaseException as error:  # `run` raises it
            written.end(error)

    def _process(self, rows: list[Row]) -> list[Row]:
        rows = self._summarize.process(rows)
        with self._embedding:
            started = time.monotonic()
            rows = self._embed.process(rows)
            seconds = time.monotonic() - started
            self._embed_seconds += seconds
        # A book with a part came with its vector.
        embedded = sum(row.document is not None and not row.book.part for row in rows)
        if embedded:
            self._guard.clock.add("embed", seconds, embedded)
        return rows


class Written:
    """Batches of one call that are on their way to the ledger."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._batches = 0
        self._error: BaseException | None = None

    @property
    def has_failed(self) -> bool:
        """Whether a batch has raised an error."""
        return self._error is not None

    def begin(self) -> None:
        """Count a batch."""
        with self._changed:
            self._batches += 1

    def follow(self, group: Future[Any]) -> None:
        """End a batch with its group."""
        group.add_done_callback(lambda group: self.end(group.exception()))

    def end(self, error: BaseException | None) -> None:
        """End a batch, with the error that it raised."""
        with self._changed:
            self._batches -= 1
            self._error = self._error or error
            self._changed.notify_all()

    def wait(self) -> BaseException | None:
        """Wait for the end of all batches, or for the first error, and return it."""
        with self._changed:
            self._changed.wait_for(lambda: not self._batches or self._error is not None)
            return self._error

    def wait_for_rest(self, timeout_s: float) -> None:
        """Wait for the end of the other batches after an error."""
        with self._changed:
            self._changed.wait_for(lambda: not self._batches, timeout_s)


class Threads:
    """Daemon threads that run functions; `reserve` waits while all of them are busy.

    Unlike those of `ThreadPoolExecutor`, they do not keep the interpreter from ending when a book
    hangs.

    Args:
        number: Number of threads.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._room = threading.Semaphore(number)
        for index in range(number):
            threading.Thread(target=self._run, name=f"raypipe-{index}", daemon=True).start()

    def reserve(self) -> None:
        """Wait for a free thread, and keep it for the next `submit` or `release`."""
        self._room.acquire()

    def release(self) -> None:
        """Give back a thread that was reserved."""
        self._room.release()

    def submit(self, function: Callable[[], None]) -> None:
        """Run a function in a thread that was reserved."""
        self._work.put(function)

    def close(self) -> None:
        """End the threads when the functions that wait have been run."""
        for _ in range(self._number):
            self._work.put(None)

    def _run(self) -> None:
        while function := self._work.get():
            try:
                function()
            finally:
                self._room.release()
