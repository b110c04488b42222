"""Decide when to notify about a run, and send the messages in threads."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from raypipe.coordination.background_sender import BackgroundSender
from raypipe.coordination.progress import Snapshot
from raypipe.coordination.stop_kinds import stop_kind
from raypipe.notify.message import describe_end, describe_failures
from raypipe.notify.notifier import Notifier

MIN_BOOKS = 20
"""Books with an outcome before which no share of failures counts."""
EVERY_S = 5.0


class Alerts:
    """Watches a run and notifies: once if many books fail, and once when the run ends.

    A run without anything to do is not worth a message, unless it ends with an error.

    Args:
        notifiers: The notifiers by name; each has a thread.
    """

    every_s = EVERY_S

    def __init__(self, notifiers: Mapping[str, Notifier]) -> None:
        self._notifiers = notifiers
        self._senders = {
            name: BackgroundSender(f"notify.{name}", notifier.send)
            for name, notifier in notifiers.items()
        }
        self._run_id = ""
        self._failures: tuple[tuple[str, int], ...] = ()
        self._told_of_failures: set[str] = set()

    def follow(self, run_id: str) -> Alerts:
        """Return itself, the view of the run."""
        self._run_id = run_id
        return self

    def show(self, snapshot: Snapshot) -> None:
        """Notify if a large share of the books has failed; at the end, `end` does."""
        progress = snapshot.progress
        self._failures = progress.failures
        for name, notifier in self._notifiers.items():
            is_high = _is_high(notifier, progress.done, progress.failed)
            if is_high and not snapshot.ended and name not in self._told_of_failures:
                self._told_of_failures.add(name)
                if "failures" in notifier.events:
                    self._senders[name].submit(describe_failures(self._run_id, snapshot))

    def end(self, record: Mapping[str, Any]) -> None:
        """Notify about the end of the run."""
        if not self._run_id and record["status"] == "done":
            return
        events = {"done": "finish", "stopped": stop_kind(record["reason"])}
        event = events.get(record["status"]) or "stop"
        done, failed = record["indexed"] or record["finished"], record["failed"]
        for name, notifier in self._notifiers.items():
            is_news = name not in self._told_of_failures and _is_high(notifier, done, failed)
            possible = (event, "failures") if is_news else (event,)
            if wanted := [each for each in possible if each in notifier.events]:
                self._senders[name].submit(describe_end(wanted[0], record, self._failures))

    def wait(self, seconds: float) -> None:
        """Wait until the messages are sent, at most for some seconds."""
        deadline = time.monotonic() + seconds
        for sender in self._senders.values():
            sender.wait(max(deadline - time.monotonic(), 0.0))


def _is_high(notifier: Notifier, done: int, failed: int) -> bool:
    return done + failed >= MIN_BOOKS and failed > notifier.failed_share * (done + failed)
