"""Choose which calls fail and how: at random by seed, prompt and attempt, or by a script."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

from raypipe.simulator.options import FAULTS, FaultOptions, LatencyOptions

IMMEDIATE_ERRORS = frozenset(
    ("throttle", "throttle_day", "internal", "unavailable", "too_long", "denied", "unknown_model")
)
"""Errors before a model is called."""
LATE_ERRORS = frozenset(("timeout", "model_error"))
"""Errors after the latency."""
TEXT_FAULTS = frozenset(("empty", "max_tokens", "refusal", "filtered", "unstructured"))
"""Unusable texts; calls for embeddings cannot have these."""
LATE_FAULTS = frozenset(FAULTS) - IMMEDIATE_ERRORS
"""Faults of admitted calls."""


@dataclass(frozen=True)
class Fault:
    """What goes wrong with a call.

    Args:
        name: One of `FAULTS`; '' if nothing goes wrong.
        seconds: Duration of a hang.
    """

    name: str = ""
    seconds: float = 0.0


def draw_uniform(seed: int, prompt: bytes, attempt: int, purpose: str) -> float:
    """Return a number in (0, 1) that depends on the arguments, not on the order of calls."""
    key = f"{seed}:{attempt}:{purpose}:".encode() + prompt
    number = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big")
    return (number + 0.5) / 2**64


def compute_latency_s(options: LatencyOptions, quantile: float, output_tokens: int) -> float:
    """Return the seconds of a call: the lognormal part at a quantile, plus its output tokens."""
    factor = math.exp(options.sigma * NormalDist().inv_cdf(quantile)) if options.sigma else 1.0
    return options.base_s * factor + options.per_output_token_s * output_tokens


def pick_fault(options: FaultOptions, number: float) -> Fault:
    """Return the fault for a number in (0, 1), which the shares of the faults divide."""
    for name in FAULTS:
        number -= getattr(options, name)
        if number < 0:
            return Fault(name, options.hang_s)
    return Fault()


@dataclass
class ScriptStep:
    """A step of a fault script, and how often it matched.

    Args:
        definition: The step as written in the options.
        matches: Matching calls so far.
        uses_left: How often the step still applies.
    """

    definition: Mapping[str, Any]
    matches: int = 0
    uses_left: int = field(init=False)

    def __post_init__(self) -> None:
        self.uses_left = int(self.definition.get("times", 1))


class FaultScript:
    """Steps that define which call gets which fault, or when options change.

    A step applies to calls whose prompt contains `contains` (default: every call), from the
    `nth` of them on (1 is the first, the default), `times` times (default 1).

    Args:
        options: The steps, already checked.
    """

    def __init__(self, options: FaultOptions) -> None:
        self._hang_s = options.hang_s
        self._steps = [ScriptStep(step) for step in options.script]

    def match(self, prompt: str) -> list[ScriptStep]:
        """Count a call; return the steps that apply to it."""
        applicable = []
        for step in self._steps:
            if str(step.definition.get("contains", "")) in prompt:
                step.matches += 1
                if step.uses_left and step.matches >= step.definition.get("nth", 1):
                    applicable.append(step)
        return applicable

    def take_option_changes(self, steps: list[ScriptStep]) -> list[Mapping[str, Any]]:
        """Use up the steps that change options; return the changes."""
        changing = [step for step in steps if "set" in step.definition]
        for step in changing:
            step.uses_left -= 1
        return [step.definition["set"] for step in changing]

    def take_fault(self, steps: list[ScriptStep], names: frozenset[str]) -> Fault:
        """Use up the first step with a fault among `names`; return that fault."""
        for step in steps:
            if step.uses_left and step.definition.get("fault") in names:
                step.uses_left -= 1
                seconds = float(step.definition.get("seconds", self._hang_s))
                return Fault(str(step.definition["fault"]), seconds)
        return Fault()
