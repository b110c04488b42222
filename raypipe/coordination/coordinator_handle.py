"""Handles to the run's coordinator, for stages and the sink."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from raypipe.coordination.counts import FailureExample, Progress, Usage
from raypipe.coordination.run_coordinator import StartDecision
from raypipe.coordination.stage_times import StageTimes


class CoordinatorHandle(ABC):
    """A handle to the run's coordinator, which is elsewhere; it pickles to the workers."""

    def start(self, stage: str, ids: Sequence[str], *, isolated: bool = False) -> StartDecision:
        """Record that a stage starts these books; see `Coordinator.start`."""
        decision: StartDecision = self._call("start", stage, list(ids), isolated)
        return decision

    def finish(
        self,
        stage: str,
        ids: Sequence[str],
        seconds: float = 0.0,
        size: int = 0,
        times: StageTimes | None = None,
    ) -> None:
        """Forget the starts of books that came out of a stage."""
        self._call("finish", stage, list(ids), seconds, size, times)

    def report(
        self,
        done: int,
        failures: Sequence[str],
        left: int,
        usage: Usage,
        rejected: Sequence[str] = (),
        examples: Sequence[FailureExample] = (),
    ) -> None:
        """Count books with a final outcome."""
        self._call("report", done, list(failures), left, usage, list(rejected), list(examples))

    def acquire_slot(self, who: str) -> bool:
        """Return whether this writer may send a request now."""
        return bool(self._call("acquire_slot", who))

    def release_slot(self, who: str, *, refused: bool) -> None:
        """Record that a request came back."""
        self._call("release_slot", who, refused)

    def arrive(self, books: int, outcomes: Sequence[str]) -> bool:
        """Count books that have reached the sink; return whether more may come."""
        return bool(self._call("arrive", books, list(outcomes)))

    def arrived(self) -> int:
        """Return how many books have reached the sink."""
        return int(self._call("arrived"))

    def stop(self, reason: str) -> None:
        """Stop the run: no further book is started."""
        self._call("stop", reason)

    def stop_reason(self) -> str:
        """Return the stop reason, or '' to continue."""
        return str(self._call("stop_reason"))

    def progress(self) -> Progress:
        """Return the counts so far."""
        progress: Progress = self._call("progress")
        return progress

    def times(self) -> StageTimes:
        """Return the times of books in each stage so far, and the slowest books."""
        times: StageTimes = self._call("times")
        return times

    @abstractmethod
    def node_id(self) -> str:
        """Return the id of the node this worker runs on."""

    @abstractmethod
    def worker_id(self) -> str:
        """Return the id of this worker; a worker that is started again keeps its id."""

    @abstractmethod
    def _call(self, method: str, *args: Any) -> Any:
        """Call a method of `RunCoordinator` and return its result."""


@dataclass(frozen=True)
class RemoteCoordinator(CoordinatorHandle):
    """A handle to the coordinating actor, for the driver and the workers.

    Calls wait for the actor's reply: a start that is still on its way when the worker dies would
    be lost. `finish` and `release_slot` do not wait.

    Args:
        actor: Ray's handle of the `RunCoordinator` actor.
    """

    actor: Any

    def finish(
        self,
        stage: str,
        ids: Sequence[str],
        seconds: float = 0.0,
        size: int = 0,
        times: StageTimes | None = None,
    ) -> None:
        """Forget the starts of books without waiting: a lost message only isolates those books."""
        self.actor.finish.remote(stage, list(ids), seconds, size, times)

    def release_slot(self, who: str, *, refused: bool) -> None:
        """Record that a request came back, without waiting: `acquire_slot` is queued behind it."""
        self.actor.release_slot.remote(who, refused)

    def node_id(self) -> str:
        """Return the id of the node this worker runs on."""
        import ray

        return str(ray.get_runtime_context().get_node_id())

    def worker_id(self) -> str:
        """Return the id of this actor; an actor that is started again keeps its id."""
        import ray

        return str(ray.get_runtime_context().get_actor_id())

    def _call(self, method: str, *args: Any) -> Any:
        import ray

        return ray.get(getattr(self.actor, method).remote(*args))
