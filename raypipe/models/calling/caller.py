"""Make the model calls of a part: from the cache, or paid for once under the quota and cached."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from raypipe.core.stop import StopCheck, never_stopped
from raypipe.ledger.answer_cache import (
    AnswerCache,
    ParseAnswer,
    RejectedAnswerError,
    cache_key,
    embeddings_group,
)
from raypipe.models.calling.answer_groups import AnswerGroups
from raypipe.models.calling.fair_pool import FairThreadPool
from raypipe.models.calling.model_calls import EMBED, call_usage
from raypipe.models.calling.retrying import RetryingCall, Sleep
from raypipe.models.calling.single_flight import PendingCall, SingleFlight
from raypipe.models.calling.token_estimate import TokenEstimate
from raypipe.models.context import ModelContext
from raypipe.models.protocol import ModelCall, TokenUsage
from raypipe.quota.local import LocalQuotaClient

_MANY_THREADS = 64
_SWITCH_INTERVAL_S = 0.02
"""Seconds after which a thread that waits for Python's lock requests it. All waiting threads do,
and with some hundred threads most time is spent on that: measured with 256 calls in flight, 49
calls a second at 0.5 ms, 94 at Python's default of 5 ms, 110 at 20 ms. With few threads, a long
interval delays answers on their way to the cache: with 16 calls in flight, 31 ms instead of 21."""
_LOOKUP_THREADS = 8
"""Threads that look up cached answers: a paid answer does not wait for the quota."""
_SPARE_THREADS = 16
"""Most threads beside the calls in flight, which keep answers or wait for their turn."""

T = TypeVar("T")


class ModelCaller:
    """Makes the calls of one part in one process. Thread-safe.

    Created on the worker, on first use, because it holds threads. A pickled caller arrives
    without pending calls.

    Args:
        context: The run's answer cache and quota.
        pool: The quota that the calls draw on, `PaidModel.pool`.
        max_in_flight: Maximum number of calls at a time; `context.max_in_flight` is the upper
            bound and the default.
        sleep: Waits that many seconds before a retry.
    """

    def __init__(
        self,
        context: ModelContext,
        pool: str,
        *,
        max_in_flight: int | None = None,
        sleep: Sleep = time.sleep,
    ) -> None:
        self._settings = context, pool, max_in_flight, sleep
        limit = context.max_in_flight
        threads = limit if max_in_flight is None else min(max_in_flight, limit)
        if threads > _MANY_THREADS:
            sys.setswitchinterval(_SWITCH_INTERVAL_S)
        quota = context.quotas.get(pool)
        self.quota = LocalQuotaClient(threads) if quota is None else quota
        self.token_estimate = TokenEstimate()
        self._sleep = sleep
        # The quota limits the calls in flight; further threads keep answers meanwhile.
        spare = min(threads, _SPARE_THREADS) if quota is not None else 0
        self._call_threads = FairThreadPool(threads + spare, f"call {pool}")
        self._lookup_threads = FairThreadPool(min(threads, _LOOKUP_THREADS), f"look up {pool}")
        state = context.state
        self._groups = None if state is None else AnswerGroups(AnswerCache(state))
        self._single_flight = SingleFlight()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the settings; pending calls stay in this process."""
        context, pool, max_in_flight, sleep = self._settings
        return partial(ModelCaller, max_in_flight=max_in_flight, sleep=sleep), (context, pool)

    def submit(
        self,
        group: str,
        call: ModelCall[T],
        stop_check: StopCheck = never_stopped,
        *,
        name: str = "",
    ) -> Future[T]:
        """Get the answer of a call from the cache or from the model.

        Groups take turns, so that no group waits for a large one. Equal calls that are pending
        at the same time are made once. Answers of embedding models are cached by their key and
        not by group, since they belong to no single book.

        Args:
            group: Text hash of the book; one component of an object name in the state.
            call: The call.
            stop_check: Returns the stop reason; asked before each request, and twice a second
                while the call waits.
            name: Name for messages: the book's key.

        Returns:
            A future of the answer, or of BookError, TooLongError (send less per call),
            BookLeftError (the run stops, or the budget is used up) or SetupError (no call can
            succeed). A call that is canceled before it is sent is never sent.
        """
        key = cache_key(call.key)
        direct = call.key.get("operation") == EMBED
        cache_group = embeddings_group(key) if direct else group
        old_keys = (
            tuple(cache_key(old) for old in call.old_keys) if self._groups is not None else ()
        )
        pending = PendingCall(group, cache_group, key, call, stop_check, name, old_keys)
        if self._groups is not None:
            self._groups.enter(cache_group, direct=direct)
            pending.future.add_done_callback(lambda _: self._leave(cache_group))
        self._begin(pending)
        return pending.future

    def _begin(self, pending: PendingCall[Any]) -> None:
        if not self._single_flight.is_leader(pending):
            return
        pending.future.add_done_callback(lambda _: self._serve_followers(pending))
        if self._groups is None:
            self._enqueue(self._call_threads, pending, self._make)
        else:
            self._enqueue(self._lookup_threads, pending, self._look_up)

    def _enqueue(
        self,
        threads: FairThreadPool,
        pending: PendingCall[T],
        work: Callable[[PendingCall[T]], None],
    ) -> None:
        try:
            threads.submit(pending.group, lambda: work(pending))
        except RuntimeError as error:  # no thread can be started
            pending.fail(error)

    def _serve_followers(self, leader: PendingCall[Any]) -> None:
        served, others = self._single_flight.complete(leader)
        for follower in served:
            if follower.start():
                follower.resolve(lambda: self._count_cached(leader.future.result()))
        for follower in others:
            if not follower.future.cancelled():
                self._begin(follower)

    def _leave(self, group: str) -> None:
        assert self._groups is not None
        self._groups.leave(group)

    def _look_up(self, pending: PendingCall[T]) -> None:
        assert self._groups is not None
        if pending.future.cancelled():
            return  # its group may be closed already
        answers, parse = self._groups[pending.cache_group], _parser(pending.call)
        try:
            cached = answers.get(pending.key, parse)
            for key in pending.old_keys if cached is None else ():
                if pending.cache_group != pending.group:  # embeddings are grouped by their key
                    answers = self._groups.open(embeddings_group(key), direct=True)
                cached = answers.get(key, parse) if cached is None else cached
        except Exception as error:
            pending.fail(error)
            return
        if cached is None:
            self._enqueue(self._call_threads, pending, self._make)
        elif pending.start():
            pending.resolve(lambda: self._count_cached(cached))

    def _count_cached(self, answer: T) -> T:
        self.quota.count_cached_calls(1)
        return answer

    def _make(self, pending: PendingCall[T]) -> None:
        if not pending.future.cancelled():
            pending.resolve(lambda: self._get_paid_answer(pending))

    def _get_paid_answer(self, pending: PendingCall[T]) -> T:
        retrying = RetryingCall(
            pending.call,
            self.quota,
            stop_check=pending.stop_reason,
            start=pending.start,
            on_unknown=lambda usage: self._record_unusable(pending, usage),
            name=pending.name,
            sleep=self._sleep,
        )
        return retrying.answer(lambda answer, usage: self._keep(pending, answer, usage))

    def _keep(self, pending: PendingCall[T], answer: T, usage: TokenUsage) -> T:
        """Record a paid answer and its usage; return the answer to use.

        The answer is not checked first: a check could raise or end the process, and answer and
        bill would be lost. `_parser` checks an answer whenever it is read from the cache.
        """
        if self._groups is None:
            return answer
        call, answers = pending.call, self._groups[pending.cache_group]
        paid = call_usage(call, usage)
        first = answers.put(pending.key, call.to_json(answer), paid, _parser(call))
        return answer if first is None else first

    def _record_unusable(self, pending: PendingCall[Any], usage: TokenUsage | None) -> None:
        """Record the usage of a call without a usable answer, so that budgets count it.

        Args:
            pending: The call.
            usage: The tokens that the server counted; None or 0 to record the maximum.
        """
        if self._groups is not None:
            request = pending.call.request
            if usage is None or not usage.input_tokens:
                usage = TokenUsage(request.input_tokens, request.max_tokens)
            answers = self._groups[pending.cache_group]
            answers.record_usage(pending.key, call_usage(pending.call, usage))


def _parser(call: ModelCall[T]) -> ParseAnswer[T]:
    """Return the reader of cached answers; it rejects answers that do not pass today's checks."""

    def read(cached: Any) -> T:
        answer = call.from_json(cached)
        try:
            is_cacheable = call.is_cacheable(answer)
        except Exception as error:
            raise RejectedAnswerError(f"its check raised {type(error).__name__}") from error
        if not is_cacheable:
            raise RejectedAnswerError("it does not pass the checks")
        return answer

    return read
