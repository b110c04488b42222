"""What the calls of one book came to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future

from raypipe.models.protocol import Answer, TokenUsage


class BookUsage:
    """What the calls of one book came to; safe for many threads."""

    def __init__(self) -> None:
        self.paid = 0
        self.answered = 0
        self.usage = TokenUsage()
        self._lock = threading.Lock()

    def counted(self, send: Callable[[], Answer]) -> Callable[[], Answer]:
        """Return a `send` that counts the answers it gets for money."""

        def count() -> Answer:
            answer = send()
            with self._lock:
                self.paid += 1
                self.usage += answer.usage
            return answer

        return count

    def landed(self, future: Future[Answer]) -> None:
        """Count an answer, wherever it came from."""
        if not future.cancelled() and future.exception() is None:
            with self._lock:
                self.answered += 1
