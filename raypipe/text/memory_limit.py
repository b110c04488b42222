"""Limit the memory that reading a file may take, in the child process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from raypipe.core.errors import BookError

MAX_BYTES = 400 * 1024 * 1024
"""Memory that reading a file may take beside that of the process. A page of 20 MB takes 300 MB."""


@contextmanager
def limit_memory(key: str) -> Iterator[None]:
    """Limit the address space of this process while a file is read.

    Systems without this limit or without `/proc` have the deadline alone.

    Raises:
        BookError: `too_large`: the code inside needed more.
    """
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        before = resource.getrlimit(resource.RLIMIT_AS)
    except (ImportError, OSError, ValueError):
        yield
        return
    used = pages * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + MAX_BYTES, before[1]))
    try:
        yield
    except MemoryError:
        raise BookError(
            "too_large",
            f"reading {key} takes more than {MAX_BYTES >> 20} MiB of memory; split the book",
        ) from None
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
