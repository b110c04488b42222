"""Count calls, tokens and errors, and prompts that were paid for twice."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from raypipe.simulator.calls import SimulatedAnswer, SimulatedCall


@dataclass
class RepeatedPrompts:
    """Prompts that were answered more than once.

    Args:
        prompts: Number of such prompts.
        calls: Answers after the first answer to each prompt.
        tokens: Input and output tokens of those answers.
    """

    prompts: int = 0
    calls: int = 0
    tokens: int = 0

    def add(self, earlier_answers: int, tokens: int) -> None:
        """Count an answer to a prompt that was answered `earlier_answers` times before."""
        if earlier_answers:
            self.prompts += earlier_answers == 1
            self.calls += 1
            self.tokens += tokens


class ServerStats:
    """Counters of a server.

    Args:
        in_flight: Calls that are in flight already.
    """

    def __init__(self, in_flight: int = 0) -> None:
        self.offered = 0
        self.admitted = 0
        self.answered = 0
        self.throttled = 0
        self.in_flight = in_flight
        self.peak_in_flight = in_flight
        self.faults: Counter[str] = Counter()
        self._refused_by_status: Counter[int] = Counter()
        self._refused_by_kind: Counter[str] = Counter()
        self._calls: dict[str, Counter[str]] = {}
        self._tokens: Counter[str] = Counter()
        self._abandoned: Counter[str] = Counter()
        self._answers: dict[bytes, int] = {}
        self._answers_since_usable: dict[bytes, int] = {}
        self._repeated = RepeatedPrompts()
        self._repeated_after_usable = RepeatedPrompts()
        self._latencies = array("f")

    def count_offered(self, call: SimulatedCall) -> None:
        """Count a call that arrived."""
        self.offered += 1
        self._calls.setdefault(call.model, Counter())[call.operation] += 1

    def begin_call(self) -> None:
        """Count an admitted call as in flight."""
        self.admitted += 1
        self.in_flight += 1
        self.peak_in_flight = max(self.peak_in_flight, self.in_flight)

    def count_refused(self, status: int, kind: str) -> None:
        """Count an error response."""
        self._refused_by_status[status] += 1
        self._refused_by_kind[kind] += 1
        self.throttled += status == 429

    def count_answer_tokens(self, answer: SimulatedAnswer) -> None:
        """Count the tokens of an answer."""
        self._tokens["input"] += answer.input_tokens
        self._tokens["output"] += answer.output_tokens

    def count_answered(self, prompt: bytes, tokens: int, latency_s: float, is_usable: bool) -> None:
        """Count a response with status 200 that was sent.

        Args:
            prompt: Hash of operation, model and request body.
            tokens: Input and output tokens.
            latency_s: Seconds from the request to the response.
            is_usable: Whether the answer is complete and without a fault, so that a client can
                keep it.
        """
        self.answered += 1
        self._latencies.append(latency_s)
        self._repeated.add(self._answers.get(prompt, 0), tokens)
        self._repeated_after_usable.add(self._answers_since_usable.get(prompt, 0), tokens)
        self._answers[prompt] = self._answers.get(prompt, 0) + 1
        if is_usable or prompt in self._answers_since_usable:
            count = self._answers_since_usable.get(prompt, 0)
            self._answers_since_usable[prompt] = count + 1

    def count_abandoned(self, tokens: int) -> None:
        """Count an answer that arrived after the client had closed its connection."""
        self._abandoned["calls"] += 1
        self._abandoned["tokens"] += tokens

    def report(self, queued: int) -> dict[str, Any]:
        """Return all counters as plain data.

        Args:
            queued: Number of calls that wait for a slot now.
        """
        statuses = sorted(self._refused_by_status.items())
        return {
            "offered": self.offered,
            "admitted": self.admitted,
            "answered": self.answered,
            "throttled": self.throttled,
            "refused": {str(status): count for status, count in statuses},
            "refused_as": dict(sorted(self._refused_by_kind.items())),
            "faults": dict(sorted(self.faults.items())),
            "in_flight": self.in_flight,
            "peak_in_flight": self.peak_in_flight,
            "queued": queued,
            "tokens": {"input": self._tokens["input"], "output": self._tokens["output"]},
            "repeated_prompts": {
                **vars(self._repeated),
                # Repeats of prompts for which a usable answer had been sent before.
                "after_sound": dict(vars(self._repeated_after_usable)),
            },
            "abandoned": {name: self._abandoned[name] for name in ("calls", "tokens")},
            "calls": {model: dict(count) for model, count in self._calls.items()},
            "latency_s": _percentiles(self._latencies),
        }


def _percentiles(values: array[float]) -> dict[str, float]:
    if not values:
        return {}
    percentiles = np.percentile(np.array(values, dtype=np.float32), [50, 95, 99, 100])
    names = ("p50", "p95", "p99", "max")
    return {name: round(float(value), 4) for name, value in zip(names, percentiles, strict=True)}
