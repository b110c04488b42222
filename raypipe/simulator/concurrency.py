"""Limit how many calls a model works on at once; further calls wait in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class ConcurrencyLimiter:
    """Grants slots to calls, first come, first served. All methods run on one event loop.

    Args:
        limit: Number of slots; None for no limit.
    """

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._used = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def queue_length(self) -> int:
        """Number of waiting calls."""
        return len(self._waiting)

    def change_limit(self, limit: int | None) -> None:
        """Change the number of slots; calls that hold a slot keep it."""
        self._limit = limit
        self._grant()

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a slot and hold it."""
        await self._acquire()
        try:
            yield
        finally:
            self._used -= 1
            self._grant()

    async def _acquire(self) -> None:
        if self._limit is not None and (self._used >= self._limit or self._waiting):
            granted = asyncio.get_running_loop().create_future()
            self._waiting.append(granted)
            await granted  # `_grant` counts the slot as used
            return
        self._used += 1

    def _grant(self) -> None:
        while self._waiting and (self._limit is None or self._used < self._limit):
            granted = self._waiting.popleft()
            if not granted.done():
                self._used += 1
                granted.set_result(None)
