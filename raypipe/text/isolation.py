"""Process long texts in a child process, which is killed at a deadline.

No step should need the deadline: all take a time that grows with the length of the text. It is
there for texts that nobody thought of. A thread cannot be stopped while C code works, and a worker
cannot be killed, because it may have 64 books with model calls in flight.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raypipe.core.child_process import ChildDiedError, ChildProcess, DeadlineError
from raypipe.core.errors import BookError

LONG_TEXT = 200_000
"""Longer texts are processed in the child: bytes of a file, characters of a clean text."""

DEADLINE_S = 120.0
"""Default seconds for a step on a long text. The slowest crafted texts of 20 MB take 40 s."""

_child = ChildProcess("raypipe.text.child_tasks")


def run_in_child(
    task: str, data: bytes, arguments: Mapping[str, Any], deadline_s: float
) -> tuple[Any, bytes]:
    """Run a function of `raypipe.text.child_tasks` in the child of this process.

    Args:
        task: Name of the function.
        data: Its bytes.
        arguments: Its keyword arguments.
        deadline_s: Seconds that it may take.

    Raises:
        BookError: `too_slow` if it took longer, `killed_worker` if the child died.
    """
    try:
        return _child.call(task, data, arguments, deadline_s)
    except DeadlineError:
        raise BookError(
            "too_slow",
            f"its text took longer than text.deadline_s={deadline_s:g}; raise that if the machine "
            "is slow or busy, or remove the book",
            retryable=True,
        ) from None
    except ChildDiedError as error:
        raise BookError("killed_worker", f"processing its text: {error}", retryable=True) from None
