"""One small actor that knows what a run is doing: who began what, the counts, the stop.

It is how a stop reaches every node, how a book that kills its worker is found (begun twice and
never ended), and where the breaker and the progress lines read their numbers.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from raypipe.coordination.limiter import AdaptiveLimiter
from raypipe.core.options import BreakerOptions

MAX_WORKER_DEATHS = 2
"""A book is given up when this many workers died while it was begun."""


@dataclass(frozen=True, slots=True)
class StartDecision:
    """What a stage may do with the books it is about to begin."""

    stop: str = ""  # why nothing new may begin; empty = go on
    deaths: tuple[int, ...] = ()  # per book: workers that died while it was begun


@dataclass(frozen=True, slots=True)
class Progress:
    """The numbers of a run so far."""

    done: int = 0
    failed: int = 0
    left: int = 0
    model_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_calls: int = 0
    usd: float = 0.0
    busy: tuple[tuple[str, float], ...] = ()  # seconds that each stage's workers worked
    stop: str = ""


class Coordinator(Protocol):
    """What stages and the sink need of the monitor."""

    def begin(self, stage: str, ids: Sequence[str], *, alone: bool = False) -> StartDecision:
        """Say that books are begun, and learn whether they may be."""

    def end(self, stage: str, ids: Sequence[str], seconds: float = 0.0) -> None:
        """Say that begun books came out of the stage, and how long it worked on them."""

    def report(self, done: int, failures: Sequence[str], left: int, usage: Usage) -> None:
        """Say what became of books for good: done, the kinds of the failed, left."""

    def acquire_slot(self, who: str) -> bool:
        """Return whether a write task may send a request now; see `AdaptiveLimiter`."""

    def release_slot(self, who: str, *, refused: bool) -> None:
        """Say that its request came back, and whether the server had too much to do."""

    def stopped(self) -> str:
        """Return why nothing new may begin, or an empty string."""

    def stop(self, reason: str) -> None:
        """Let nothing new begin."""

    def node_id(self) -> str:
        """Return the id of the node this worker runs on."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Model calls and tokens of some books."""

    model_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


@dataclass
class RunCoordinator:
    """The actor's own code, plain Python."""

    breaker: BreakerOptions
    lanes: AdaptiveLimiter = field(default_factory=lambda: AdaptiveLimiter(1))
    _begun: Counter[tuple[str, str]] = field(default_factory=Counter)
    _counts: Counter[str] = field(default_factory=Counter)
    _first: list[str] = field(default_factory=list)
    _recent: deque[bool] = field(default_factory=deque)
    _busy: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    _stop: str = ""

    def begin(self, stage: str, ids: Sequence[str], alone: bool = False) -> StartDecision:
        """Mark books as begun; see `Coordinator.begin`.

        Books that are begun together are marked only the first time: once a worker died on
        them, they are begun one by one, so that only the guilty book collects a second mark.
        """
        if self._stop:
            return StartDecision(stop=self._stop)
        deaths = tuple(self._begun[(stage, one)] for one in ids)
        if alone or not any(deaths):
            self._begun.update((stage, one) for one in ids)
        return StartDecision(deaths=deaths)

    def end(self, stage: str, ids: Sequence[str], seconds: float = 0.0) -> None:
        """Forget the marks of books that came out."""
        self._busy[stage] += seconds
        for one in ids:
            self._begun.pop((stage, one), None)

    def report(self, done: int, failures: Sequence[str], left: int, usage: Usage) -> None:
        """Count final outcomes and let the breaker look at them."""
        self._counts.update(
            done=done,
            failed=len(failures),
            left=left,
            model_calls=usage.model_calls,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
        )
        outcomes = [""] * done + list(failures)
        room = self.breaker.first - len(self._first)
        self._first.extend(outcomes[: max(room, 0)])
        self._recent.extend(outcome != "" for outcome in outcomes)
        while len(self._recent) > self.breaker.window:
            self._recent.popleft()
        if not self._stop:
            self._stop = self._broken()

    def acquire_slot(self, who: str) -> bool:
        """Return whether a write task may send a request now."""
        return self.lanes.enter(who)

    def release_slot(self, who: str, refused: bool) -> None:
        """Note that its request came back."""
        self.lanes.leave(who, refused)

    def stop(self, reason: str) -> None:
        """Let nothing new begin; the first reason stays."""
        self._stop = self._stop or reason

    def stopped(self) -> str:
        """Return why nothing new may begin, or an empty string."""
        return self._stop

    def progress(self) -> Progress:
        """Return the numbers so far."""
        return Progress(**self._counts, busy=tuple(self._busy.items()), stop=self._stop)

    def _broken(self) -> str:
        first = self.breaker.first
        if first and len(self._first) == first and self._first[0] and len(set(self._first)) == 1:
            return f"the first {first} books all failed alike ({self._first[0]})"
        window = self.breaker.window
        if window and len(self._recent) == window:
            failed = sum(self._recent)
            if failed > self.breaker.max_share * window:
                return f"{failed} of the last {window} books failed"
        return ""


@dataclass(frozen=True)
class RemoteCoordinator:
    """The monitor as workers see it; calls wait for the actor's answer, `end` excepted.

    Waiting matters: a mark that is still on its way when the worker dies would be lost.
    """

    actor: Any

    def begin(self, stage: str, ids: Sequence[str], *, alone: bool = False) -> StartDecision:
        """Mark books as begun."""
        verdict: StartDecision = self._ask("begin", stage, list(ids), alone)
        return verdict

    def end(self, stage: str, ids: Sequence[str], seconds: float = 0.0) -> None:
        """Forget their marks; nobody waits: a mark too many costs its books only some care."""
        self.actor.end.remote(stage, list(ids), seconds)

    def report(self, done: int, failures: Sequence[str], left: int, usage: Usage) -> None:
        """Count final outcomes."""
        self._ask("report", done, list(failures), left, usage)

    def acquire_slot(self, who: str) -> bool:
        """Return whether a write task may send a request now."""
        return bool(self._ask("acquire_slot", who))

    def release_slot(self, who: str, *, refused: bool) -> None:
        """Say that its request came back; nobody waits, for the next `enter_lane` comes behind."""
        self.actor.release_slot.remote(who, refused)

    def stop(self, reason: str) -> None:
        """Let nothing new begin."""
        self._ask("stop", reason)

    def stopped(self) -> str:
        """Return why nothing new may begin, or an empty string."""
        return str(self._ask("stopped"))

    def progress(self) -> Progress:
        """Return the numbers so far."""
        progress: Progress = self._ask("progress")
        return progress

    def node_id(self) -> str:
        """Return the id of the node this worker runs on."""
        import ray

        return str(ray.get_runtime_context().get_node_id())

    def _ask(self, method: str, *args: Any) -> Any:
        import ray

        return ray.get(getattr(self.actor, method).remote(*args))
