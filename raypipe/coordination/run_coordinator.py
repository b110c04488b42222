"""Share the state of a run among its workers: started books, counts and the stop reason.

One small Ray actor holds this state. It carries a stop to every node, finds the book that kills
its worker (started twice and never finished), and feeds the circuit breaker and the progress lines.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Protocol

from raypipe.coordination.breaker import Breaker
from raypipe.coordination.counts import FailureExample, Progress, Usage
from raypipe.coordination.limiter import AdaptiveLimiter
from raypipe.coordination.stage_times import StageTimes
from raypipe.core.options import BreakerOptions

MAX_WORKER_DEATHS = 2
"""A book fails once this many workers have died while processing it."""
MAX_EXAMPLES = 20
"""Failed books that a reading of the counts shows; the driver reads four times a second."""


@dataclass(frozen=True, slots=True)
class StartDecision:
    """Whether a stage may process the books it is about to start.

    Args:
        stop_reason: Why the books must not be started; '' to continue.
        worker_deaths: Number of workers that died while processing each book, in the order of
            the request; empty if there is a stop reason.
    """

    stop_reason: str = ""
    worker_deaths: tuple[int, ...] = ()


class Coordinator(Protocol):
    """The run's coordinator, as stages and the sink use it."""

    def start(self, stage: str, ids: Sequence[str], *, isolated: bool = False) -> StartDecision:
        """Record that a stage starts these books, unless the run is stopping.

        Args:
            stage: Name of the stage.
            ids: Ids of the books.
            isolated: Whether the book is started alone, because a worker died processing its batch.
        """

    def finish(
        self,
        stage: str,
        ids: Sequence[str],
        seconds: float = 0.0,
        size: int = 0,
        times: StageTimes | None = None,
    ) -> None:
        """Record that books came out of a stage.

        Args:
            stage: Name of the stage.
            ids: Ids of the books.
            seconds: How long the stage worked on them.
            size: Bytes of these books; 0 if the call only forgets their starts.
            times: What the process has collected about the times of books; None for nothing.
        """

    def report(
        self,
        done: int,
        failures: Sequence[str],
        left: int,
        usage: Usage,
        rejected: Sequence[str] = (),
        examples: Sequence[FailureExample] = (),
    ) -> None:
        """Count books with a final outcome.

        Args:
            done: Number of finished books.
            failures: The failure kind of each failed book.
            left: Number of books left for the next run.
            usage: What the finished books used.
            rejected: The failure kind of each document that the index rejected.
            examples: Some of the failed books, for the log; the coordinator numbers them.
        """

    def acquire_slot(self, who: str) -> bool:
        """Return whether this writer may send a request now; see `AdaptiveLimiter.acquire`."""

    def release_slot(self, who: str, *, refused: bool) -> None:
        """Record that this writer's request came back; see `AdaptiveLimiter.release`."""

    def arrive(self, books: int, outcomes: Sequence[str]) -> bool:
        """Count books that have reached the sink; return whether more may come.

        Args:
            books: Number of books.
            outcomes: The failure kind of each book that failed, '' for each finished document.
        """

    def arrived(self) -> int:
        """Return how many books have reached the sink."""

    def stop_reason(self) -> str:
        """Return the stop reason, or '' to continue."""

    def stop(self, reason: str) -> None:
        """Stop the run: no further book is started."""

    def node_id(self) -> str:
        """Return the id of the node this worker runs on."""

    def worker_id(self) -> str:
        """Return the id of this worker; a worker that is started again keeps its id."""


@dataclass
class RunCoordinator:
    """The code of the coordinating actor, as a plain class.

    Args:
        breaker: When failing books stop the run.
        limiter: Limits the bulk requests of all writers.
        books: Number of books in the run; 0 if unknown.
    """

    breaker: BreakerOptions
    limiter: AdaptiveLimiter = field(default_factory=lambda: AdaptiveLimiter(1))
    books: int = 0
    _arrived: int = 0
    _starts: Counter[tuple[str, str]] = field(default_factory=Counter)  # by stage and book id
    _counts: Counter[str] = field(default_factory=Counter)
    _stages: Breaker = field(init=False)  # books that reach the sink
    _writes: Breaker = field(init=False)  # documents that the index answered for
    _stage_seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    _stage_books: Counter[str] = field(default_factory=Counter)
    _stage_bytes: Counter[str] = field(default_factory=Counter)
    _times: StageTimes = field(default_factory=StageTimes)
    _failures: Counter[str] = field(default_factory=Counter)  # books by kind
    _examples: deque[FailureExample] = field(default_factory=lambda: deque(maxlen=MAX_EXAMPLES))
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))
    _stop_reason: str = ""

    def __post_init__(self) -> None:
        """Create the breakers.

        A failed book is seen here seconds before its group is written, and so are the books of
        the same group that did not fail. A shared breaker would see only the failures first.
        """
        self._stages, self._writes = Breaker(self.breaker), Breaker(self.breaker)

    def start(self, stage: str, ids: Sequence[str], isolated: bool = False) -> StartDecision:
        """Record that a stage starts these books; see `Coordinator.start`.

        A batch is recorded only the first time. After a worker died on it, its books are started
        one by one, so only the book that killed the worker gets a second record.
        """
        if self._stop_reason:
            return StartDecision(stop_reason=self._stop_reason)
        deaths = tuple(self._starts[(stage, book_id)] for book_id in ids)
        if isolated or not any(deaths):
            self._starts.update((stage, book_id) for book_id in ids)
        return StartDecision(worker_deaths=deaths)

    def finish(
        self,
        stage: str,
        ids: Sequence[str],
        seconds: float = 0.0,
        size: int = 0,
        times: StageTimes | None = None,
    ) -> None:
        """Forget the starts of books that came out of a stage, and add its seconds and bytes."""
        self._stage_seconds[stage] += seconds
        if ids and seconds:
            self._stage_books[stage] += len(ids)
            self._stage_bytes[stage] += size
        for book_id in ids:
            self._starts.pop((stage, book_id), None)
        if times is not None:
            self._times.merge(times)

    def report(
        self,
        done: int,
        failures: Sequence[str],
        left: int,
        usage: Usage,
        rejected: Sequence[str] = (),
        examples: Sequence[FailureExample] = (),
    ) -> None:
        """Count final outcomes, and stop the run if most documents are rejected."""
        self._failures.update(failures)
        for example in examples:
            self._examples.append(replace(example, number=next(self._numbers)))
        self._counts.update(
            done=done,
            failed=len(failures),
            left=left,
            model_calls=usage.model_calls,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            bulk_requests=usage.bulk_requests,
            bulk_documents=usage.bulk_documents,
            documented_bytes=usage.documented_bytes,
            failed_bytes=usage.failed_bytes,
            bulk_retries=usage.bulk_retries,
        )
        self.stop(self._writes.record([""] * done + list(rejected)))

    def acquire_slot(self, who: str) -> bool:
        """Return whether this writer may send a request now."""
        return self.limiter.acquire(who)

    def release_slot(self, who: str, refused: bool) -> None:
        """Record that this writer's request came back."""
        self.limiter.release(who, refused)

    def arrive(self, books: int, outcomes: Sequence[str]) -> bool:
        """Count books that have reached the sink, and stop the run if most of them failed.

        After a worker's death books arrive again, so a group may be committed before its time.
        """
        self._arrived += books
        self.stop(self._stages.record(outcomes))
        return not self._stop_reason and (not self.books or self._arrived < self.books)

    def arrived(self) -> int:
        """Return how many books have reached the sink; more after a worker's death."""
        return self._arrived

    def stop(self, reason: str) -> None:
        """Stop the run; the first reason is kept."""
        self._stop_reason = self._stop_reason or reason

    def stop_reason(self) -> str:
        """Return the stop reason, or '' to continue."""
        return self._stop_reason

    def times(self) -> StageTimes:
        """Return a copy of the times of books in each stage so far, and the slowest books."""
        times = StageTimes()
        times.merge(self._times)
        return times

    def progress(self) -> Progress:
        """Return the counts so far."""
        return Progress(
            **self._counts,
            models=(),
            paused="",  # the quota knows
            documented_calls=self._counts["model_calls"],
            stage_seconds=tuple(self._stage_seconds.items()),
            stop_reason=self._stop_reason,
            stage_books=tuple(
                (stage, books, self._stage_bytes[stage])
                for stage, books in self._stage_books.items()
            ),
            failures=tuple(self._failures.most_common()),
            examples=tuple(self._examples),
        )
