"""One paid call from its lease to its answer: the quota is asked, errors are followed up."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Generic, NoReturn, TypeVar

from raypipe.core.errors import BookError, BookLeftError, SetupError
from raypipe.core.retry import full_jitter
from raypipe.core.stop import StopCheck
from raypipe.models.error_policy import Do, Rule, rule_for
from raypipe.models.protocol import ModelCall, ModelError, TokenUsage, TooLongError
from raypipe.quota.protocol import CallOutcome, Lease, QuotaClient

log = logging.getLogger(__name__)

_LOOK_S = 0.5
"""A stop is seen within this many seconds."""

_LONGEST_MESSAGE = 500  # characters of what a server says

T = TypeVar("T")
Sleep = Callable[[float], None]


@dataclass
class RetryingCall(Generic[T]):
    """The tries of one call, all of them ours: a client makes one request each.

    Args:
        call: What is asked.
        permits: The quota.
        stopped: Why nothing new may begin.
        begin: Whether the call is wanted still; asked before something is sent.
        lost: Told after each try of unknown outcome.
        name: Whose call it is, for messages; '' = nobody's.
        sleep: Waits some seconds.
    """

    call: ModelCall[T]
    permits: QuotaClient
    stopped: StopCheck
    begin: Callable[[], bool]
    lost: Callable[[], None]
    name: str = ""
    sleep: Sleep = time.sleep
    _failed: Counter[Rule] = field(default_factory=Counter, init=False)  # throttles not counted

    def answer(self, paid: Callable[[T, TokenUsage], T]) -> T:
        """Return the answer, whatever `paid`, told of it at once, makes of it.

        Raises:
            BookError: The model did not answer, or does not take this.
            TooLongError: It cannot take so much at once.
            BookLeftError: Stopped, or the budget holds no such call.
            SetupError: No call can succeed.
        """
        need = self.call.request
        while True:
            self._look()
            lease = self.permits.acquire(need, self.stopped)
            try:
                return self._sent(lease, paid)
            except ModelError as error:
                self._follow(error)
            need = replace(need, is_retry=True)

    def _sent(self, lease: Lease, paid: Callable[[T, TokenUsage], T]) -> T:
        """Make one request and settle the lease, whatever comes of it."""
        spent, began = CallOutcome(), time.monotonic()
        try:
            self._look()
            if not self.begin():
                raise BookLeftError("canceled")
            spent = CallOutcome(unknown=True)  # until it is known
            answer = self.call.send()
            usage = self._usage(answer)
            spent = CallOutcome(usage.input_tokens, usage.output_tokens)
        except ModelError as error:
            spent = _spent(error)
            raise
        except SetupError:
            spent = CallOutcome()  # there is no client: nothing was sent
            raise
        finally:
            settled = self._settled(lease, replace(spent, seconds=time.monotonic() - began))
        answer = paid(answer, usage)  # kept even if the quota could not be told
        if settled is not None:
            raise settled
        return answer

    def _settled(self, lease: Lease, spent: CallOutcome) -> Exception | None:
        try:
            self.permits.settle(lease, spent)
        except Exception as error:
            return error
        return None

    def _usage(self, answer: T) -> TokenUsage:
        usage = self.call.usage_of(answer)
        if usage.input_tokens > 0:
            return usage
        # A server that tells no usage has counted all the same.
        return replace(usage, input_tokens=self.call.request.input_tokens)

    def _follow(self, error: ModelError) -> None:
        """Wait for the next try, or raise what becomes of the call."""
        if error.maybe_paid:
            self.lost()
        rule = rule_for(error)
        if rule.do == "throttled":
            return  # the quota decides when
        self._failed[rule] += 1
        if rule.do not in ("retry", "unknown"):
            self._raise(rule.do, rule, error)
        if self._failed[rule] > rule.retries:
            self._raise(rule.then, rule, error)
        self._wait(rule, error)

    def _wait(self, rule: Rule, error: ModelError) -> None:
        wait_s = full_jitter(self._failed[rule], base=rule.base_s)
        wait_s = max(wait_s, error.retry_after_s or 0.0)
        log.info("%s: %s; trying again in %.1f s", self._about(), error.code, wait_s)
        self._pause(wait_s)

    def _pause(self, wait_s: float) -> None:
        while wait_s > 0:
            self._look()
            self.sleep(min(wait_s, _LOOK_S))
            wait_s -= _LOOK_S

    def _raise(self, do: Do, rule: Rule, error: ModelError) -> NoReturn:
        said = str(error)[:_LONGEST_MESSAGE]
        if do == "stop":
            raise SetupError(f"{self._model}: {said}; {rule.way_out}") from error
        if do == "too_long":
            raise TooLongError(f"{self._about()}: {said}") from error
        tries = self._failed.total()
        tried = f" (tried {tries} times)" if tries > 1 else ""
        message = f"{self._about()}: {said}{tried}"
        raise BookError(rule.kind, message, retryable=rule.retryable) from error

    def _look(self) -> None:
        if why := self.stopped():
            raise BookLeftError(why)

    def _about(self) -> str:
        return f"{self.name}: {self._model}" if self.name else self._model

    @property
    def _model(self) -> str:
        return str(self.call.key.get("model", "the model"))


def _spent(error: ModelError) -> CallOutcome:
    rule = rule_for(error)
    throttled = rule.do == "throttled"
    return CallOutcome(
        throttled=throttled,
        retry_after_s=error.retry_after_s if throttled else None,
        daily=rule.daily,
        unknown=error.maybe_paid,
    )
