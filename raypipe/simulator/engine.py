"""What happens to a call: script, quota, latency, faults, answer, settlement."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import orjson

from raypipe.simulator import answers, faults
from raypipe.simulator.calls import Answer, Call, Refused, Stop, count_tokens
from raypipe.simulator.calls import cut_to_tokens as cut
from raypipe.simulator.faults import Fault
from raypipe.simulator.options import FAULTS, FaultOptions, ServerOptions
from raypipe.simulator.quota import Clock, Quota
from raypipe.simulator.schemas import Filler, described
from raypipe.simulator.stats import Stats

CHANGEABLE = ("latency", "quota", "concurrency", "faults", "model")
_TOO_LONG = (
    "Input is too long for requested model: {tokens} tokens > {most} maximum."
    " Please shorten it and try again."
)


class Engine:
    """The models behind the server; every method runs on one event loop.

    Args:
        options: What they are like.
        clock: Seconds, monotonic.

    Raises:
        ValueError: A step of the script sets what cannot be set.
    """

    def __init__(self, options: ServerOptions, clock: Clock = time.monotonic) -> None:
        _check_script(options, options.faults)
        self.options = options
        self._clock = clock
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._working = 0
        self.stats = Stats()
        self.reset()

    def reset(self) -> None:
        """Forget every call; options stay, scripts and quotas begin anew."""
        in_flight = self.stats.in_flight
        self.stats = Stats()
        self.stats.in_flight = self.stats.peak_in_flight = in_flight
        self._script = faults.Script(self.options.faults)
        self._quotas: dict[str, Quota] = {}
        self._attempts: dict[bytes, int] = {}

    def change(self, wanted: Mapping[str, Any]) -> None:
        """Change options while calls are running.

        Args:
            wanted: For example `{"quota": {"tokens_per_minute": 500000}}`.

        Raises:
            ValueError: There is no such option, or the value is out of its range; nothing changed.
        """
        new = dict(_changed(self.options, wanted))
        if "faults" in new:
            _check_script(self.options, new["faults"])
        self.options = dataclasses.replace(self.options, **new)
        if "quota" in new:
            for quota in self._quotas.values():
                quota.change(self.options.quota)
        if "script" in wanted.get("faults", {}):
            self._script = faults.Script(self.options.faults)
        self._wake()

    def report(self) -> dict[str, Any]:
        """Return the counters and each model's quota."""
        states = {model: quota.state() for model, quota in self._quotas.items()}
        said = self.stats.report()
        settled = sum(quota.settled for quota in self._quotas.values())
        integral = sum(state["integral"] or 0.0 for state in states.values())
        said["tokens"]["quota"] = round(settled, 1)
        said["utilization"] = round(settled / integral, 4) if integral else None
        return {**said, "quota": states}

    async def work(self, call: Call, prompt: bytes) -> tuple[Answer, Fault]:
        """Answer a call.

        Args:
            call: The call.
            prompt: The hash of operation, model and body.

        Raises:
            Refused: It gets an error.
        """
        self.stats.offer(call)
        steps = self._script.see(call.prompt)
        for wanted in self._script.changes(steps):
            self.change(wanted)
        self._check(call)
        self._refuse(self._script.fault(steps, faults.AT_ONCE))
        quota = self._quota(call.model)
        reserved = call.input_tokens + call.max_tokens
        self._room()
        quota.admit(reserved)
        used = 0.0
        try:
            attempt = self._attempts.get(prompt, 0)
            self._attempts[prompt] = attempt + 1
            fault = self._fault(call, prompt, attempt, self._script.fault(steps, _LATER))
            self._refuse(fault, counted=True)
            with self._in_flight():
                answer = await self._answer(call, prompt, attempt, fault)
                if fault.name in faults.AFTER_WORK:
                    raise Refused(fault.name)
            used = answer.input_tokens + self.options.quota.burndown * answer.output_tokens
            self.stats.settle(answer)
            return answer, fault
        finally:
            quota.settle(reserved, used)

    def _check(self, call: Call) -> None:
        model = self.options.model
        if model.known and call.model not in model.known:
            raise Refused("unknown_model")
        if call.input_tokens > model.context_tokens:
            said = _TOO_LONG.format(tokens=call.input_tokens, most=model.context_tokens)
            raise Refused("too_long", said)

    def _refuse(self, fault: Fault, counted: bool = False) -> None:
        if fault.name and not counted:
            self.stats.faults[fault.name] += 1
        if fault.name in faults.AT_ONCE:
            raise Refused(fault.name)

    def _fault(self, call: Call, prompt: bytes, attempt: int, scripted: Fault) -> Fault:
        drawn = faults.draw(self.options.seed, prompt, attempt, "fault")
        fault = scripted if scripted.name else faults.by_rate(self.options.faults, drawn)
        if call.texts and fault.name in faults.OF_TEXT:
            return Fault()
        if fault.name:
            self.stats.faults[fault.name] += 1
        return fault

    async def _answer(self, call: Call, prompt: bytes, attempt: int, fault: Fault) -> Answer:
        options = self.options
        await self._slot()
        try:
            text, stop = self._text(call, fault)
            output = count_tokens(text, options.model.bytes_per_token)
            quantile = faults.draw(options.seed, prompt, attempt, "latency")
            seconds = faults.latency_s(options.latency, quantile, output)
            if fault.name == "hang":
                seconds += fault.seconds
            if seconds > 0:
                await asyncio.sleep(seconds)
        finally:
            self._working -= 1
            self._wake()
        return Answer(text, stop, call.input_tokens, output, seconds, self.stats.admitted)

    def _text(self, call: Call, fault: Fault) -> tuple[str, Stop]:
        if call.texts or fault.name in ("empty", "filtered"):
            return "", "content_filtered" if fault.name == "filtered" else "end_turn"
        if fault.name == "refusal":
            return answers.REFUSAL, "end_turn"
        model, ratio = self.options.model, self.options.model.bytes_per_token
        schema = call.schema or described(call.prompt)
        if schema is None or fault.name == "unstructured":
            text = answers.summary(call.prompt, model.answer_tokens, ratio)
        else:
            filler = Filler(schema, call.prompt, int(model.answer_tokens * ratio / 2))
            text = orjson.dumps(filler.fill()).decode()
        most = min(call.max_tokens, model.context_tokens - call.input_tokens)
        if fault.name == "max_tokens":
            most = min(most, count_tokens(text, ratio) // 2)
        if count_tokens(text, ratio) > most:
            return cut(text, most, ratio), "max_tokens"
        return text, "tool_use" if call.tool else "end_turn"

    def _quota(self, model: str) -> Quota:
        if model not in self._quotas:
            self._quotas[model] = Quota(self.options.quota, self._clock)
        return self._quotas[model]

    @contextmanager
    def _in_flight(self) -> Iterator[None]:
        stats = self.stats
        stats.begin()
        try:
            yield
        finally:
            # After a reset, the new counters know of the calls that were in flight then.
            self.stats.in_flight -= 1

    def _room(self) -> None:
        limit = self.options.concurrency.limit
        full = limit is not None and self.stats.in_flight >= limit
        if full and self.options.concurrency.over_limit == "throttle":
            raise Refused("throttle_requests")

    async def _slot(self) -> None:
        """Wait until fewer calls than the limit are worked on; first come, first served."""
        limit = self.options.concurrency.limit
        if limit is not None and (self._working >= limit or self._waiting):
            turn = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            self.stats.queued = len(self._waiting)
            await turn  # whoever wakes it has taken the slot for it
            return
        self._working += 1

    def _wake(self) -> None:
        limit = self.options.concurrency.limit
        while self._waiting and (limit is None or self._working < limit):
            turn = self._waiting.popleft()
            if not turn.done():
                self._working += 1
                turn.set_result(None)
        self.stats.queued = len(self._waiting)


_LATER = frozenset(FAULTS) - faults.AT_ONCE


def _check_script(options: ServerOptions, wanted: FaultOptions) -> None:
    for number, step in enumerate(wanted.script):
        try:
            dict(_changed(options, step.get("set", {})))
        except ValueError as error:
            raise ValueError(f"faults.script[{number}]: {error}") from None


def _changed(options: ServerOptions, wanted: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for group, values in wanted.items():
        if group not in CHANGEABLE:
            raise ValueError(f"there is no {group} to change; choose of {', '.join(CHANGEABLE)}")
        part = getattr(options, group)
        names = [one.name for one in dataclasses.fields(part)]
        if not isinstance(values, Mapping) or set(values) - set(names):
            raise ValueError(f"{group} takes a mapping of {', '.join(names)}")
        try:
            yield group, dataclasses.replace(part, **values)
        except TypeError as error:
            raise ValueError(f"{group}: {error}") from None
