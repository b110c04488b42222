"""Count the model calls and tokens of one book."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future

from raypipe.models.protocol import Answer, TokenUsage


class BookUsage:
    """Model calls and tokens of one book; safe for many threads.

    Attributes:
        paid_calls: Calls that were sent to the model and answered.
        tokens: Tokens of the paid calls.
    """

    def __init__(self) -> None:
        self.paid_calls = 0
        self.tokens = TokenUsage()
        self._answers = 0
        self._lock = threading.Lock()

    @property
    def cached_calls(self) -> int:
        """Answers that were not paid for: they came from the cache."""
        return self._answers - self.paid_calls

    def count_paid(self, send: Callable[[], Answer]) -> Callable[[], Answer]:
        """Return a `send` that also counts the calls it pays for."""

        def send_and_count() -> Answer:
            answer = send()
            with self._lock:
                self.paid_calls += 1
                self.tokens += answer.usage
            return answer

        return send_and_count

    def count_answer(self, future: Future[Answer]) -> None:
        """Count an answer, paid or cached; used as a callback of a future."""
        if not future.cancelled() and future.exception() is None:
            with self._lock:
                self._answers += 1
