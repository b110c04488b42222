"""What the server saw: calls, tokens, refusals, and prompts that were paid for twice."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from raypipe.simulator.calls import Answer, Call


@dataclass
class Repeated:
    """Prompts that were answered more than once.

    Args:
        prompts: How many.
        calls: Answers beyond the first of each.
        tokens: Input and output tokens of those.
    """

    prompts: int = 0
    calls: int = 0
    tokens: int = 0

    def add(self, times_before: int, tokens: int) -> None:
        """Count an answer to a prompt that was answered `times_before` times."""
        if times_before:
            self.prompts += times_before == 1
            self.calls += 1
            self.tokens += tokens


class Stats:
    """Counters; `report` returns them as plain data."""

    def __init__(self) -> None:
        self.offered = 0
        self.admitted = 0
        self.answered = 0
        self.throttled = 0
        self.in_flight = 0
        self.peak_in_flight = 0
        self.queued = 0
        self._refused: Counter[int] = Counter()
        self._kinds: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self._calls: dict[str, Counter[str]] = {}
        self._tokens: Counter[str] = Counter()
        self._abandoned: Counter[str] = Counter()
        self._answers: dict[bytes, int] = {}
        self._sound: dict[bytes, int] = {}
        self._repeated = Repeated()
        self._repeated_sound = Repeated()
        self._latencies = array("f")

    def offer(self, call: Call) -> None:
        """Count a call that came in."""
        self.offered += 1
        self._calls.setdefault(call.model, Counter())[call.operation] += 1

    def begin(self) -> None:
        """Count an admitted call as in flight."""
        self.admitted += 1
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)

    def refuse(self, status: int, kind: str) -> None:
        """Count an error."""
        self._refused[status] += 1
        self._kinds[kind] += 1
        self.throttled += status == 429

    def settle(self, answer: Answer) -> None:
        """Count the tokens of an answer."""
        self._tokens["input"] += answer.input_tokens
        self._tokens["output"] += answer.output_tokens

    def answer(self, prompt: bytes, tokens: int, latency_s: float, sound: bool) -> None:
        """Count a 200 that was sent.

        Args:
            prompt: The hash of operation, model and body.
            tokens: Its input and output tokens.
            latency_s: Seconds from the request to the answer.
            sound: Whether it was whole and no fault was in it, so that a client can keep it.
        """
        self.answered += 1
        self._latencies.append(latency_s)
        self._repeated.add(self._answers.get(prompt, 0), tokens)
        self._repeated_sound.add(self._sound.get(prompt, 0), tokens)
        self._answers[prompt] = self._answers.get(prompt, 0) + 1
        if sound or prompt in self._sound:
            self._sound[prompt] = self._sound.get(prompt, 0) + 1

    def abandon(self, tokens: int) -> None:
        """Count an answer that nobody waited for: the client had closed its connection."""
        self._abandoned["calls"] += 1
        self._abandoned["tokens"] += tokens

    def report(self) -> dict[str, Any]:
        """Return all of it."""
        sound = self._repeated_sound
        return {
            "offered": self.offered,
            "admitted": self.admitted,
            "answered": self.answered,
            "throttled": self.throttled,
            "refused": {str(status): count for status, count in sorted(self._refused.items())},
            "refused_as": dict(sorted(self._kinds.items())),
            "faults": dict(sorted(self.faults.items())),
            "in_flight": self.in_flight,
            "peak_in_flight": self.peak_in_flight,
            "queued": self.queued,
            "tokens": {"input": self._tokens["input"], "output": self._tokens["output"]},
            "repeated_prompts": {
                **vars(self._repeated),
                # Those of which a whole, faultless answer had been sent before.
                "after_sound": dict(vars(sound)),
            },
            "abandoned": {name: self._abandoned[name] for name in ("calls", "tokens")},
            "calls": {model: dict(count) for model, count in self._calls.items()},
            "latency_s": _percentiles(self._latencies),
        }


def _percentiles(values: array[float]) -> dict[str, float]:
    if not values:
        return {}
    found = np.percentile(np.array(values, dtype=np.float32), [50, 95, 99, 100])
    names = ("p50", "p95", "p99", "max")
    return {name: round(float(value), 4) for name, value in zip(names, found, strict=True)}
