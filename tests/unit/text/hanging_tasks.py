"""Tasks of the child process that hang in C code for books that say so."""

from __future__ import annotations

import re
from typing import Any

from raypipe.text import child_tasks


def clean(data: bytes, **arguments: Any) -> tuple[dict[str, Any], bytes]:
    """Clean a book, or hold the GIL for years."""
    if b"hang while cleaning" in data:
        re.match(r"(a+)+$", "a" * 60 + "b")
    return child_tasks.clean(data, **arguments)


def split(data: bytes, **arguments: Any) -> tuple[list[str], bytes]:
    """Split a book, or hold the GIL for years."""
    if b"hang while splitting" in data:
        re.match(r"(a+)+$", "a" * 60 + "b")
    return child_tasks.split(data, **arguments)
