"""Count the model calls, tokens and dollars of one book, in this run and in earlier runs."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import replace
from functools import cache
from typing import Any, TypeVar

from raypipe.models.context import ModelContext, PaidModel, billing_of
from raypipe.models.protocol import ModelCall, ModelError, TokenUsage

T = TypeVar("T")

_OWNER, _MODEL = "book", "billed_as"
"""Keys of a cached answer: the book whose call paid for it, and the model id on the bill."""


class Spending:
    """What the answers for one book cost; safe for many threads.

    A cached answer counts for the book whose call paid for it, so the sums of all documents add up
    to the sums of all runs, also if a run is resumed and if books have the same text. A cached
    answer that names no book was paid for by an older raypipe, and counts, too.

    Args:
        model: The model.
        context: The price table; None for no prices.
        owner: Key of the book.

    Attributes:
        calls: Calls that were sent to the model and answered.
        tokens: Their tokens.
        usd: Their dollars, at today's prices; models without a price cost nothing.
    """

    def __init__(self, model: PaidModel, context: ModelContext | None, owner: str) -> None:
        self.calls, self.usd = 0, 0.0
        self.tokens = TokenUsage()
        self._owner = owner
        self._answers = self._sent = 0
        self._counted: set[int] = set()  # hashes of questions
        self._lock = threading.Lock()
        self._billing = billing_of(model)
        self._find_price = cache((context or ModelContext()).prices.find)

    @property
    def cached_calls(self) -> int:
        """Answers that came from the cache."""
        return self._answers - self._sent

    def track(self, call: ModelCall[T], question: int) -> ModelCall[T]:
        """Return a call that is counted when it is paid for, or found in the cache.

        Args:
            call: The call.
            question: Hash of its question; a repeated question is paid for once.
        """

        def send() -> T:
            try:
                answer = call.send()
            except ModelError as error:
                if error.usage is not None and error.usage.input_tokens:
                    self._count(question, error.usage, self._billing.model)
                raise
            with self._lock:
                self._sent += 1
            self._count(question, call.usage_of(answer), self._billing.model)
            return answer

        def to_json(answer: T) -> Mapping[str, Any]:
            return {**call.to_json(answer), _OWNER: self._owner, _MODEL: self._billing.model}

        def from_json(cached: Mapping[str, Any]) -> T:
            answer = call.from_json(cached)
            is_own = cached.get(_OWNER, self._owner) == self._owner
            if is_own and question not in self._counted:
                model = str(cached.get(_MODEL, self._billing.model))
                self._count(question, call.usage_of(answer), model)
            return answer

        return replace(call, send=send, to_json=to_json, from_json=from_json)

    def count_answer(self, future: Future[T]) -> None:
        """Count an answer, paid or cached; used as a callback of a future."""
        if not future.cancelled() and future.exception() is None:
            with self._lock:
                self._answers += 1

    def _count(self, question: int, usage: TokenUsage, model: str) -> None:
        price = self._find_price(model, usage.tier or self._billing.tier)
        with self._lock:
            self._counted.add(question)
            self.calls += 1
            self.tokens += usage
            if price is not None:
                self.usd += price.usd(usage.input_tokens, usage.output_tokens)
