"""Keep the cached answers of each book in memory while calls of the book are pending."""

from __future__ import annotations

import threading

from raypipe.ledger.answer_cache import AnswerCache, AnswerGroup


class AnswerGroups:
    """Cached answers by group, each shared by the group's pending calls. Thread-safe.

    A group is a book, or a group of embeddings. It is loaded for its first call and dropped after
    its last call.
    """

    def __init__(self, cache: AnswerCache) -> None:
        self._cache = cache
        self._lock = threading.Lock()
        self._open: dict[str, tuple[AnswerGroup, int]] = {}  # with the number of pending calls

    def enter(self, group: str, *, direct: bool) -> None:
        """Count a pending call.

        Args:
            group: Name of the group.
            direct: Whether to look up each answer by itself instead of listing the group once.
        """
        with self._lock:
            answers, calls = self._open.get(group) or (self._cache.group(group, direct=direct), 0)
            self._open[group] = answers, calls + 1

    def open(self, group: str, *, direct: bool) -> AnswerGroup:
        """Return the answers of any group; see `enter` for the arguments."""
        return self._cache.group(group, direct=direct)

    def leave(self, group: str) -> None:
        """Count a pending call as done."""
        with self._lock:
            answers, calls = self._open.pop(group)
            if calls > 1:
                self._open[group] = answers, calls - 1

    def __getitem__(self, group: str) -> AnswerGroup:
        """Return the answers of a group with pending calls."""
        with self._lock:  # `leave` removes the group for a moment
            return self._open[group][0]

    def __len__(self) -> int:
        """Return the number of groups with pending calls."""
        return len(self._open)
