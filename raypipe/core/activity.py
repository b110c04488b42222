"""Name what a command is doing, and log a line about it while nothing else is logged."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)

FIRST_SIGN_S = 1.25
EVERY_S = 4.5
"""Longest silence. With the tick below, two lines are less than 5 s apart."""
_TICK_S = 0.25


class Activity:
    """What this process is doing: shown in signs of life and in JSON log lines."""

    def __init__(self) -> None:
        self.text = "starting"
        self.run_id = ""
        self._limit_s = FIRST_SIGN_S
        self._signed_at = self._started = time.monotonic()

    @contextmanager
    def doing(self, text: str) -> Iterator[None]:
        """Name what the block does."""
        before = self.text, self._started
        self.text, self._started = text, time.monotonic()
        try:
            yield
        finally:
            self.text, self._started = before

    def begin(self) -> None:
        """Note that a command begins, and has shown nothing yet."""
        self._limit_s, self._signed_at = FIRST_SIGN_S, time.monotonic()

    def sign(self) -> None:
        """Note that the terminal has just shown something."""
        self._limit_s, self._signed_at = EVERY_S, time.monotonic()

    def is_silent(self) -> bool:
        """Return whether the terminal has shown nothing for too long."""
        return time.monotonic() - self._signed_at >= self._limit_s

    def describe(self) -> str:
        """Return what the process is doing, and for how long."""
        return f"{self.text} ({time.monotonic() - self._started:.0f}s)"


activity = Activity()
"""The activity of this process."""


@contextmanager
def signs_of_life() -> Iterator[None]:
    """Log what the block is doing whenever the terminal has shown nothing for `EVERY_S` seconds.

    If it has shown nothing at all, the first line comes after `FIRST_SIGN_S`. What writes to the
    terminal calls `activity.sign`.
    """
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_TICK_S):
            if not activity.is_silent():
                continue
            if logging.getLogger().handlers:
                log.info("%s", activity.describe())
            else:  # the logging is not set up yet
                print(activity.describe(), file=sys.stderr)
            activity.sign()

    activity.begin()
    thread = threading.Thread(target=watch, name="raypipe-signs", daemon=True)
    thread.start()
    try:
        with activity.doing("starting"):
            yield
    finally:
        ended.set()
        thread.join()
