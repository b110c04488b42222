"""Which call goes wrong and how: by rate, drawn from seed, prompt and attempt, or by script."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

from raypipe.simulator.options import FAULTS, FaultOptions, LatencyOptions

AT_ONCE = frozenset(
    ("throttle", "throttle_day", "internal", "unavailable", "too_long", "denied", "unknown_model")
)
"""Errors that come without a model having been asked."""
AFTER_WORK = frozenset(("timeout", "model_error"))
"""Errors that come after the latency."""
OF_TEXT = frozenset(("empty", "max_tokens", "refusal", "filtered", "unstructured"))
"""Answers that are no good; vectors cannot have these."""


@dataclass(frozen=True)
class Fault:
    """What befalls a call.

    Args:
        name: One of `FAULTS`; '' = nothing.
        seconds: How long a hang takes.
    """

    name: str = ""
    seconds: float = 0.0


def draw(seed: int, prompt: bytes, attempt: int, purpose: str) -> float:
    """Return a number in (0, 1) that depends on nothing but these: not on the order of calls."""
    key = f"{seed}:{attempt}:{purpose}:".encode() + prompt
    number = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big")
    return (number + 0.5) / 2**64


def latency_s(options: LatencyOptions, quantile: float, output_tokens: int) -> float:
    """Return the seconds of a call: a lognormal part at this quantile, and its output."""
    spread = math.exp(options.sigma * NormalDist().inv_cdf(quantile)) if options.sigma else 1.0
    return options.base_s * spread + options.per_output_token_s * output_tokens


def by_rate(options: FaultOptions, drawn: float) -> Fault:
    """Return the fault that a number in (0, 1) stands for; one share lies behind the other."""
    for name in FAULTS:
        drawn -= getattr(options, name)
        if drawn < 0:
            return Fault(name, options.hang_s)
    return Fault()


@dataclass
class _Step:
    said: Mapping[str, Any]
    seen: int = 0
    left: int = field(init=False)

    def __post_init__(self) -> None:
        self.left = int(self.said.get("times", 1))


class Script:
    """Steps that say which call gets which fault, or when options change.

    A step applies to calls whose prompt contains `contains` (every call without it), from the
    `nth` of them on (1 = the first), `times` times (1).

    Args:
        options: The steps, checked already.
    """

    def __init__(self, options: FaultOptions) -> None:
        self._hang_s = options.hang_s
        self._steps = [_Step(step) for step in options.script]

    def see(self, prompt: str) -> list[_Step]:
        """Count a call that was offered; return the steps that apply to it."""
        found = []
        for step in self._steps:
            if str(step.said.get("contains", "")) in prompt:
                step.seen += 1
                if step.left and step.seen >= step.said.get("nth", 1):
                    found.append(step)
        return found

    def changes(self, steps: list[_Step]) -> list[Mapping[str, Any]]:
        """Use up the steps that change options, and return the changes."""
        wanted = [step for step in steps if "set" in step.said]
        for step in wanted:
            step.left -= 1
        return [step.said["set"] for step in wanted]

    def fault(self, steps: list[_Step], names: frozenset[str]) -> Fault:
        """Use up and return the first fault of these names."""
        for step in steps:
            if step.left and step.said.get("fault") in names:
                step.left -= 1
                seconds = float(step.said.get("seconds", self._hang_s))
                return Fault(str(step.said["fault"]), seconds)
        return Fault()
