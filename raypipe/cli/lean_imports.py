"""Set libraries up for the process of a command: less memory, and a faster start."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

_ASYNC_OPENSEARCH = "opensearchpy._async._extra_imports"


def prepare_arrow() -> None:
    """Let Arrow return memory to the system at once, and start without pandas.

    Only for a process that belongs to raypipe. Arrow's default allocator keeps the memory of each
    thread that has read a file: 350 MB for a million rows. Arrow imports pandas, if there is one,
    with the first conversion (0.2 s, 45 MB); hidden then, it is imported by what needs it.
    """
    import pyarrow as pa

    if "jemalloc" in pa.supported_memory_backends():
        pa.set_memory_pool(pa.jemalloc_memory_pool())
        pa.jemalloc_set_decay_ms(0)
    hidden = _HiddenPandas()
    sys.meta_path.insert(0, hidden)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(hidden)


def prepare_opensearch() -> None:
    """Let opensearch-py start without its asynchronous client, which takes 0.2 s.

    Only for a process that belongs to raypipe: it has no `AsyncOpenSearch` from then on. aiohttp is
    hidden from opensearch-py alone.
    """
    sys.meta_path.insert(0, _HiddenAiohttp())


class _HiddenPandas:
    """A finder of modules that raises ImportError for pandas."""

    def find_spec(self, name: str, *_: Any) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name=name)


class _HiddenAiohttp:
    """A finder of modules that raises ImportError for aiohttp where opensearch-py imports it."""

    def find_spec(self, name: str, *_: Any) -> None:
        if name == "aiohttp" and self._is_for_opensearch(sys._getframe()):
            raise ModuleNotFoundError(name=name)

    def _is_for_opensearch(self, frame: FrameType | None) -> bool:
        while frame is not None:
            if frame.f_globals.get("__name__") == _ASYNC_OPENSEARCH:
                return True
            frame = frame.f_back
        return False
