"""Process a call: fault script, quota, latency, faults, answer, settlement."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from raypipe.simulator.calls import CallRefused, SimulatedAnswer, SimulatedCall
from raypipe.simulator.concurrency import ConcurrencyLimiter
from raypipe.simulator.faults import (
    IMMEDIATE_ERRORS,
    LATE_ERRORS,
    LATE_FAULTS,
    TEXT_FAULTS,
    Fault,
    FaultScript,
    compute_latency_s,
    draw_uniform,
    pick_fault,
)
from raypipe.simulator.option_changes import apply_changes, check_script
from raypipe.simulator.options import ServerOptions
from raypipe.simulator.quota import Clock, Quota
from raypipe.simulator.responder import write_answer
from raypipe.simulator.stats import ServerStats
from raypipe.simulator.tokens import count_tokens

_TOO_LONG = (
    "Input is too long for requested model: {tokens} tokens > {limit} maximum."
    " Please shorten it and try again."
)


class Engine:
    """The models behind the server. All methods run on one event loop.

    Args:
        options: Options of the server.
        clock: Monotonic seconds.

    Raises:
        ValueError: A step of the fault script sets an option that cannot change.
    """

    def __init__(self, options: ServerOptions, clock: Clock = time.monotonic) -> None:
        check_script(options, options.faults)
        self.options = options
        self._clock = clock
        self._limiter = ConcurrencyLimiter(options.concurrency.limit)
        self.stats = ServerStats()
        self.reset()

    def reset(self) -> None:
        """Reset counters, quotas, attempts and the fault script; keep the options."""
        self.stats = ServerStats(in_flight=self.stats.in_flight)
        self._script = FaultScript(self.options.faults)
        self._quotas: dict[str, Quota] = {}
        self._attempts: dict[bytes, int] = {}

    def change(self, changes: Mapping[str, Any]) -> None:
        """Change options while calls are running.

        Args:
            changes: New values by group, such as `{"quota": {"tokens_per_minute": 500000}}`.

        Raises:
            ValueError: An option does not exist, or a value is out of its range; nothing changed.
        """
        self.options = apply_changes(self.options, changes)
        if "quota" in changes:
            for quota in self._quotas.values():
                quota.change(self.options.quota)
        if "script" in changes.get("faults", {}):
            self._script = FaultScript(self.options.faults)
        self._limiter.change_limit(self.options.concurrency.limit)

    def report(self) -> dict[str, Any]:
        """Return the counters and the state of each model's quota, as GET /stats does."""
        states = {model: quota.state() for model, quota in self._quotas.items()}
        report = self.stats.report(queued=self._limiter.queue_length)
        settled = sum(quota.settled for quota in self._quotas.values())
        integral = sum(state["integral"] or 0.0 for state in states.values())
        report["tokens"]["quota"] = round(settled, 1)
        report["utilization"] = round(settled / integral, 4) if integral else None
        return {**report, "quota": states}

    async def process(self, call: SimulatedCall, prompt: bytes) -> tuple[SimulatedAnswer, Fault]:
        """Return the answer to a call and the fault that it has.

        Args:
            call: The call.
            prompt: Hash of operation, model and request body.

        Raises:
            CallRefused: The call is answered with an error.
        """
        self.stats.count_offered(call)
        steps = self._script.match(call.prompt)
        for changes in self._script.take_option_changes(steps):
            self.change(changes)
        self._check_model(call)
        immediate = self._script.take_fault(steps, IMMEDIATE_ERRORS)
        if immediate.name:
            self.stats.faults[immediate.name] += 1
            raise CallRefused(immediate.name)
        quota = self._quota(call.model)
        reserved = call.input_tokens + call.max_tokens
        self._check_concurrency()
        quota.admit(reserved)
        used = 0.0
        try:
            attempt = self._attempts.get(prompt, 0)
            self._attempts[prompt] = attempt + 1
            scripted = self._script.take_fault(steps, LATE_FAULTS)
            fault = self._choose_fault(call, prompt, attempt, scripted)
            if fault.name in IMMEDIATE_ERRORS:
                raise CallRefused(fault.name)
            with self._in_flight():
                answer = await self._answer(call, prompt, attempt, fault)
                if fault.name in LATE_ERRORS:
                    raise CallRefused(fault.name)
            used = answer.input_tokens + self.options.quota.burndown * answer.output_tokens
            self.stats.count_answer_tokens(answer)
            return answer, fault
        finally:
            quota.settle(reserved, used)

    def _check_model(self, call: SimulatedCall) -> None:
        model = self.options.model
        if model.known and call.model not in model.known:
            raise CallRefused("unknown_model")
        if call.input_tokens > model.context_tokens:
            message = _TOO_LONG.format(tokens=call.input_tokens, limit=model.context_tokens)
            raise CallRefused("too_long", message)

    def _check_concurrency(self) -> None:
        """Refuse the call if the server is full and configured to throttle."""
        limit = self.options.concurrency.limit
        is_full = limit is not None and self.stats.in_flight >= limit
        if is_full and self.options.concurrency.over_limit == "throttle":
            raise CallRefused("throttle_requests")

    def _choose_fault(
        self, call: SimulatedCall, prompt: bytes, attempt: int, scripted: Fault
    ) -> Fault:
        """Return the scripted fault, or a random one; count it."""
        number = draw_uniform(self.options.seed, prompt, attempt, "fault")
        fault = scripted if scripted.name else pick_fault(self.options.faults, number)
        if call.texts and fault.name in TEXT_FAULTS:
            return Fault()
        if fault.name:
            self.stats.faults[fault.name] += 1
        return fault

    async def _answer(
        self, call: SimulatedCall, prompt: bytes, attempt: int, fault: Fault
    ) -> SimulatedAnswer:
        """Wait for a slot and the latency; return the answer."""
        options = self.options
        async with self._limiter.slot():
            text, stop_reason = write_answer(call, fault, options.model)
            output_tokens = count_tokens(text, options.model.bytes_per_token)
            quantile = draw_uniform(options.seed, prompt, attempt, "latency")
            seconds = compute_latency_s(options.latency, quantile, output_tokens)
            if fault.name == "hang":
                seconds += fault.seconds
            if seconds > 0:
                await asyncio.sleep(seconds)
        return SimulatedAnswer(
            text, stop_reason, call.input_tokens, output_tokens, seconds, self.stats.admitted
        )

    def _quota(self, model: str) -> Quota:
        if model not in self._quotas:
            self._quotas[model] = Quota(self.options.quota, self._clock)
        return self._quotas[model]

    @contextmanager
    def _in_flight(self) -> Iterator[None]:
        self.stats.begin_call()
        try:
            yield
        finally:
            # A reset in between replaces `stats` and carries over the calls in flight.
            self.stats.in_flight -= 1
