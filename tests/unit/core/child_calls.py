"""Functions for a child process in tests: they answer, hang, raise or die."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path


def echo(data: bytes, *, value: object = None) -> tuple[object, bytes]:
    """Return what came in, and print, which must not disturb the answer."""
    print("a line of a library")
    return value, data


def pid(data: bytes) -> tuple[int, bytes]:
    """Return the id of the child."""
    return os.getpid(), b""


def hang_in_c(data: bytes) -> tuple[None, bytes]:
    """Hold the GIL for years in a regular expression."""
    if data:
        Path(data.decode()).write_text(str(os.getpid()))
    re.match(r"(a+)+$", "a" * 60 + "b")
    return None, b""


def sleep(data: bytes, *, seconds: float) -> tuple[None, bytes]:
    """Take some time."""
    time.sleep(seconds)
    return None, b""


def fail(data: bytes) -> tuple[None, bytes]:
    """Raise an exception."""
    raise ValueError("a mistake in the child")


def die(data: bytes) -> tuple[None, bytes]:
    """End the process without a word."""
    os._exit(3)
