"""Make one paid call: get a lease from the quota, send the request, retry after errors."""

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
from raypipe.models.error_policy import Action, Rule, rule_for
from raypipe.models.protocol import ModelCall, ModelError, TokenUsage, TooLongError
from raypipe.quota.protocol import CallOutcome, Lease, QuotaClient

log = logging.getLogger(__name__)

_STOP_CHECK_S = 0.5
"""A stop ends a wait within this many seconds."""

_MAX_MESSAGE_CHARS = 500
"""Characters of a server's message in our own messages."""

T = TypeVar("T")
Sleep = Callable[[float], None]


@dataclass
class RetryingCall(Generic[T]):
    """All tries of one call. A client makes one request per call, so every retry is made here.

    `raypipe.core.retry.attempts` does not fit: each kind of error has its own number of retries,
    and a throttled call waits for the quota instead of a fixed time.

    Args:
        call: The call.
        quota: The quota of its pool.
        stop_check: Returns the stop reason; asked before every request and during waits.
        start: Returns whether the call is still wanted; asked before every request.
        on_unknown: Called after each try without a usable answer that may be billed, with the
            tokens that the server counted; None if it did not.
        name: Name for messages: the book's key; '' for none.
        sleep: Waits that many seconds.
    """

    call: ModelCall[T]
    quota: QuotaClient
    stop_check: StopCheck
    start: Callable[[], bool]
    on_unknown: Callable[[TokenUsage | None], None]
    name: str = ""
    sleep: Sleep = time.sleep
    _failures: Counter[Rule] = field(default_factory=Counter, init=False)  # without throttles

    def answer(self, keep: Callable[[T, TokenUsage], T]) -> T:
        """Make the call, with retries; return what `keep` returns for the answer.

        Args:
            keep: Called at once with a paid answer and its tokens; stores it, and returns the
                answer to use.

        Raises:
            BookError: The model did not answer, or rejects this call.
            TooLongError: The input is too long for the model.
            BookLeftError: The run stops, or the budget does not cover the call.
            SetupError: No call can succeed.
        """
        request = self.call.request
        while True:
            self._check_stop()
            lease = self.quota.acquire(request, self.stop_check)
            try:
                return self._send(lease, keep)
            except ModelError as error:
                self._handle(error)
            request = replace(request, is_retry=True)

    def _send(self, lease: Lease, keep: Callable[[T, TokenUsage], T]) -> T:
        """Make one request and settle the lease, whatever the result."""
        outcome, began = CallOutcome(), time.monotonic()
        try:
            self._check_stop()
            if not self.start():
                raise BookLeftError("canceled")
            outcome = CallOutcome(unknown=True)  # until the result is known
            answer = self.call.send()
            usage = self._usage_of(answer)
            outcome = CallOutcome(usage.input_tokens, usage.output_tokens, tier=usage.tier)
        except ModelError as error:
            outcome = _outcome_of(error)
            raise
        except SetupError:
            outcome = CallOutcome()  # there is no client: nothing was sent
            raise
        except (BookError, BookLeftError):
            raise
        except Exception as error:  # of a client that did not foresee this answer
            log.warning("%s: unreadable answer: %s", self._label, type(error).__name__)
            log.debug("unreadable answer", exc_info=True)
            message = f"the answer is unreadable ({type(error).__name__})"
            raise ModelError.bad_response(message) from None
        finally:
            outcome = replace(outcome, seconds=time.monotonic() - began)
            settle_error = self._try_settle(lease, outcome)
        answer = keep(answer, usage)  # a paid answer is kept even if the settlement failed
        if settle_error is not None:
            raise settle_error
        return answer

    def _try_settle(self, lease: Lease, outcome: CallOutcome) -> Exception | None:
        try:
            self.quota.settle(lease, outcome)
        except Exception as error:
            return error
        return None

    def _usage_of(self, answer: T) -> TokenUsage:
        usage = self.call.usage_of(answer)
        if usage.input_tokens > 0:
            return usage
        # A server that reports no usage has counted the tokens nevertheless.
        return replace(usage, input_tokens=self.call.request.input_tokens)

    def _handle(self, error: ModelError) -> None:
        """Wait for the next try, or raise the error that ends the call."""
        if error.maybe_paid:
            self.on_unknown(error.usage)
        rule = rule_for(error)
        if rule.action == "throttled":
            return  # the quota decides when to try again
        self._failures[rule] += 1
        if rule.action not in ("retry", "unknown"):
            self._raise(rule.action, rule, error)
        if self._failures[rule] > rule.retries:
            self._raise(rule.then, rule, error)
        self._wait(rule, error)

    def _wait(self, rule: Rule, error: ModelError) -> None:
        wait_s = full_jitter(self._failures[rule], base=rule.base_s)
        wait_s = max(wait_s, error.retry_after_s or 0.0)
        log.info("%s: %s; retrying in %.1f s", self._label, error.code, wait_s)
        while wait_s > 0:
            self._check_stop()
            self.sleep(min(wait_s, _STOP_CHECK_S))
            wait_s -= _STOP_CHECK_S

    def _raise(self, action: Action, rule: Rule, error: ModelError) -> NoReturn:
        message = str(error)[:_MAX_MESSAGE_CHARS]
        if action == "stop":
            raise SetupError(f"{self._model}: {message}; {rule.way_out}") from error
        if action == "too_long":
            raise TooLongError(f"{self._label}: {message}") from error
        tries = self._failures.total()
        suffix = f" (tried {tries} times)" if tries > 1 else ""
        raise BookError(
            rule.kind, f"{self._label}: {message}{suffix}", retryable=rule.retryable
        ) from error

    def _check_stop(self) -> None:
        if reason := self.stop_check():
            raise BookLeftError(reason)

    @property
    def _label(self) -> str:
        return f"{self.name}: {self._model}" if self.name else self._model

    @property
    def _model(self) -> str:
        return str(self.call.key.get("model", "the model"))


def _outcome_of(error: ModelError) -> CallOutcome:
    rule = rule_for(error)
    throttled = rule.action == "throttled"
    if error.usage is not None and error.usage.input_tokens:
        usage = error.usage
        return CallOutcome(usage.input_tokens, usage.output_tokens, tier=usage.tier)
    return CallOutcome(
        throttled=throttled,
        retry_after_s=error.retry_after_s if throttled else None,
        daily=rule.daily,
        unknown=error.maybe_paid,
    )
