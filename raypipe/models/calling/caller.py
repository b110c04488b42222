"""Every call to a model: out of the cache, or paid for once under the quota, and kept."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from raypipe.core.stop import StopCheck, never_stopped
from raypipe.ledger.answer_cache import AnswerCache, CallUsage, Read, cache_key, embeddings_group
from raypipe.models.calling.fair_pool import FairThreadPool
from raypipe.models.calling.model_calls import EMBED, TokenEstimate
from raypipe.models.calling.retrying import RetryingCall, Sleep
from raypipe.models.calling.single_flight import AnswerGroups, PendingCall, SingleFlight
from raypipe.models.context import ModelContext
from raypipe.models.protocol import ModelCall, TokenUsage
from raypipe.quota.local import LocalQuotaClient

_SWITCH_S = 0.02
"""After so many seconds a thread that waits for Python's lock asks for it, and so do all others.
With some hundred threads that is what the time goes to: measured with 256 calls in flight, 49 calls
a second at 0.5 ms, 94 at Python's own 5 ms, 110 at 20 ms."""
_LOOKERS = 8
"""Threads that look answers up: what is paid for already waits for no quota."""

T = TypeVar("T")


class ModelCaller:
    """Makes the calls of one part in one process; safe for many threads.

    Made on the worker, on first use: it holds threads. Pickled, it comes back without any.

    Args:
        context: The run's cache and quota.
        pool: The quota that the calls draw on, `ChatModel.pool`.
        max_in_flight: Most calls at a time; None = `context.max_in_flight`, its upper bound.
        sleep: Waits some seconds before a retry.
    """

    def __init__(
        self,
        context: ModelContext,
        pool: str,
        *,
        max_in_flight: int | None = None,
        sleep: Sleep = time.sleep,
    ) -> None:
        sys.setswitchinterval(_SWITCH_S)
        self._made_of = context, pool, max_in_flight, sleep
        most = context.max_in_flight
        threads = most if max_in_flight is None else min(max_in_flight, most)
        given = context.quotas.get(pool)
        self.quota = LocalQuotaClient(threads) if given is None else given
        self.token_estimate = TokenEstimate()
        self._sleep = sleep
        self._calls = FairThreadPool(threads, f"call {pool}")
        self._lookups = FairThreadPool(min(threads, _LOOKERS), f"look up {pool}")
        state = context.state
        self._groups = None if state is None else AnswerGroups(AnswerCache(state))
        self._flights = SingleFlight()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what it is made of; what is under way stays here."""
        context, pool, max_in_flight, sleep = self._made_of
        return partial(ModelCaller, max_in_flight=max_in_flight, sleep=sleep), (context, pool)

    def submit(
        self, group: str, call: ModelCall[T], stopped: StopCheck = never_stopped, *, name: str = ""
    ) -> Future[T]:
        """Get the answer of a call: the kept one, or a new one.

        Calls of all groups take turns, so that no group waits for a large one. Of equal calls
        that are under way at the same time one is made. Answers of embedding models are kept
        by their key, whatever the group: they belong to no single book.

        Args:
            group: The book's text hash; one component of a name in the state.
            call: What is asked.
            stopped: Asked before anything new is sent, and twice a second while it waits.
            name: Whose call it is, for messages: the book's key.

        Returns:
            A future of the answer, or of BookError, TooLongError (ask for less at a time),
            BookLeftError (stopped, or the budget came first) or SetupError (no call can succeed).
            Canceled before it is sent, it never is.
        """
        key = cache_key(call.key)
        direct = call.key.get("operation") == EMBED
        kept_in = embeddings_group(key) if direct else group
        flight = PendingCall(group, kept_in, key, call, stopped, name)
        if self._groups is not None:
            self._groups.enter(kept_in, direct=direct)
            flight.future.add_done_callback(lambda _: self._leave(kept_in))
        self._take_off(flight)
        return flight.future

    def _take_off(self, flight: PendingCall[Any]) -> None:
        if not self._flights.is_leader(flight):
            return
        flight.future.add_done_callback(lambda _: self._landed(flight))
        if self._groups is None:
            self._queue(self._calls, flight, self._make)
        else:
            self._queue(self._lookups, flight, self._look_up)

    def _queue(
        self, pool: FairThreadPool, flight: PendingCall[T], work: Callable[[PendingCall[T]], None]
    ) -> None:
        try:
            pool.submit(flight.turn, lambda: work(flight))
        except RuntimeError as error:  # not one thread can be started
            _fail(flight, error)

    def _landed(self, leader: PendingCall[Any]) -> None:
        served, others = self._flights.landed(leader)
        for flight in served:
            if flight.begin():
                flight.end(lambda: self._saved(leader.future.result()))
        for flight in others:
            if not flight.future.cancelled():
                self._take_off(flight)

    def _leave(self, group: str) -> None:
        assert self._groups is not None
        self._groups.leave(group)

    def _look_up(self, flight: PendingCall[T]) -> None:
        assert self._groups is not None
        if flight.future.cancelled():
            return  # and its group may be forgotten
        try:
            kept = self._groups[flight.group].get(flight.key, _reader(flight.call))
        except Exception as error:
            _fail(flight, error)
            return
        if kept is None:
            self._queue(self._calls, flight, self._make)
        elif flight.begin():
            flight.end(lambda: self._saved(kept))

    def _saved(self, answer: T) -> T:
        self.quota.count_cached_calls(1)
        return answer

    def _make(self, flight: PendingCall[T]) -> None:
        if not flight.future.cancelled():
            flight.end(lambda: self._paid(flight))

    def _paid(self, flight: PendingCall[T]) -> T:
        attempts = RetryingCall(
            flight.call,
            self.quota,
            stopped=flight.why_not,
            begin=flight.begin,
            lost=lambda: self._lost(flight),
            name=flight.name,
            sleep=self._sleep,
        )
        return attempts.answer(lambda answer, usage: self._keep(flight, answer, usage))

    def _keep(self, flight: PendingCall[T], answer: T, usage: TokenUsage) -> T:
        """Keep a paid answer, or what it came to; return the answer that counts."""
        if self._groups is None:
            return answer
        call, bill = flight.call, _bill(flight, usage)
        answers = self._groups[flight.group]
        if not call.is_cacheable(answer):
            answers.spend(flight.key, bill)
            return answer
        first = answers.put(flight.key, call.to_json(answer), bill, _reader(call))
        return answer if first is None else first

    def _lost(self, flight: PendingCall[Any]) -> None:
        """Record what a call of unknown outcome came to at most: the budget counts it."""
        if self._groups is not None:
            need = flight.call.request
            usage = TokenUsage(need.input_tokens, need.max_tokens)
            self._groups[flight.group].spend(flight.key, _bill(flight, usage))


def _fail(flight: PendingCall[Any], error: Exception) -> None:
    if flight.begin():
        flight.future.set_exception(error)


def _bill(flight: PendingCall[Any], usage: TokenUsage) -> CallUsage:
    asked = flight.call.key
    return CallUsage(
        str(asked.get("operation", "")),
        str(asked.get("model", "")),
        usage.input_tokens,
        usage.output_tokens,
    )


def _reader(call: ModelCall[T]) -> Read[T]:
    """Return the reader of kept answers; one that would not be kept today is not believed."""

    def read(kept: Any) -> T:
        answer = call.from_json(kept)
        if not call.is_cacheable(answer):
            raise ValueError("would not be kept")
        return answer

    return read
