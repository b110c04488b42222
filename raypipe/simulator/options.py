"""Typed options of the model server that `raypipe simulate` starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from raypipe.core.options import check_at_least

OVER_LIMIT = ("throttle", "queue")
STEP_KEYS = ("fault", "set", "contains", "nth", "times", "seconds")
"""What a step of `faults.script` can say."""


@dataclass
class LatencyOptions:
    """How long a model takes.

    Args:
        base_s: Median of the lognormal part, in seconds.
        sigma: Its spread: the standard deviation of its logarithm; 0 = always the median.
        per_output_token_s: Seconds that each token of an answer adds.
    """

    base_s: float = 0.0
    sigma: float = 0.0
    per_output_token_s: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        for one in fields(self):
            check_at_least(one.name, getattr(self, one.name), 0)


@dataclass
class ServerQuotaOptions:
    """What one model admits; None = without end.

    Args:
        tokens_per_minute: Quota tokens a minute, refilled continuously.
        tokens_per_day: Quota tokens in 24 hours from the first call.
        requests_per_minute: Admitted requests a minute, refilled continuously.
        burndown: Quota tokens that one output token costs when a call is settled.
        capacity_s: Seconds of quota that its bucket holds.
        start_level: Share of the capacity that is there at the first call.
    """

    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None
    requests_per_minute: int | None = None
    burndown: float = 1.0
    capacity_s: float = 5.0
    start_level: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("tokens_per_minute", "tokens_per_day", "requests_per_minute"):
            if getattr(self, name) is not None:
                check_at_least(name, getattr(self, name), 1)
        check_at_least("burndown", self.burndown, 0)
        if self.capacity_s <= 0:
            raise ValueError(f"capacity_s={self.capacity_s} must be more than 0")
        if not 0 <= self.start_level <= 1:
            raise ValueError(f"start_level={self.start_level} is not between 0 and 1")


@dataclass
class ConcurrencyOptions:
    """How many calls are worked on at once.

    Args:
        limit: Most calls at once, of all models; None = without end.
        over_limit: `throttle` answers 429 beyond it, `queue` lets calls wait.
    """

    limit: int | None = None
    over_limit: str = "throttle"

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.limit is not None:
            check_at_least("limit", self.limit, 1)
        if self.over_limit not in OVER_LIMIT:
            raise ValueError(f"over_limit={self.over_limit}: choose {' or '.join(OVER_LIMIT)}")


@dataclass
class FaultOptions:
    """The share of calls that goes wrong in each way, and a script of exact faults.

    Args:
        throttle: 429, "Too many tokens, please wait before trying again."
        throttle_day: 429, "Too many tokens per day, ..."
        timeout: 408 ModelTimeoutException, after the latency.
        model_error: 424 ModelErrorException with originalStatusCode 500, after the latency.
        internal: 500 InternalServerException.
        unavailable: 503 ServiceUnavailableException.
        too_long: 400 ValidationException, "Input is too long for requested model."
        denied: 403 AccessDeniedException.
        unknown_model: 404 ResourceNotFoundException.
        hang: The answer comes `hang_s` later.
        reset: The connection is closed without an answer, after the latency.
        truncated: 200 with the first half of the JSON body.
        empty: 200 with an empty text.
        max_tokens: 200 with half a text, stopped at max_tokens.
        refusal: 200 with a polite refusal.
        filtered: 200 without a text, content filtered.
        unstructured: 200 with plain words where JSON is asked for.
        hang_s: Seconds of a hang.
        script: Steps, mappings with `fault` or `set`, and `contains`, `nth`, `times`, `seconds`.
    """

    throttle: float = 0.0
    throttle_day: float = 0.0
    timeout: float = 0.0
    model_error: float = 0.0
    internal: float = 0.0
    unavailable: float = 0.0
    too_long: float = 0.0
    denied: float = 0.0
    unknown_model: float = 0.0
    hang: float = 0.0
    reset: float = 0.0
    truncated: float = 0.0
    empty: float = 0.0
    max_tokens: float = 0.0
    refusal: float = 0.0
    filtered: float = 0.0
    unstructured: float = 0.0
    hang_s: float = 300.0
    script: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Check the ranges and the script."""
        for name in FAULTS:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)} is not between 0 and 1")
        if (total := sum(getattr(self, name) for name in FAULTS)) > 1 + 1e-9:
            raise ValueError(f"script aside, the shares of all faults add up to {total:g}, over 1")
        check_at_least("hang_s", self.hang_s, 0)
        for number, step in enumerate(self.script):
            _check_step(f"script[{number}]", step)


FAULTS = tuple(one.name for one in fields(FaultOptions) if one.name not in ("hang_s", "script"))
"""Every way in which a call can be made to go wrong."""


def _check_step(name: str, step: Any) -> None:
    if not isinstance(step, Mapping) or not (("fault" in step) ^ ("set" in step)):
        raise ValueError(f"{name} must be a mapping with either fault or set")
    if unknown := set(map(str, step)) - set(STEP_KEYS):
        raise ValueError(
            f"{name} has no {', '.join(sorted(unknown))}; choose of {', '.join(STEP_KEYS)}"
        )
    if "fault" in step and step["fault"] not in FAULTS:
        raise ValueError(f"{name}: fault={step['fault']}: choose one of {', '.join(FAULTS)}")
    if "set" in step and not isinstance(step["set"], Mapping):
        raise ValueError(f"{name}: set must be a mapping of options")
    for key, least in (("nth", 1), ("times", 1), ("seconds", 0)):
        value = step.get(key, least)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{name}: {key}={value} is no number")
        check_at_least(f"{name}: {key}", value, least)


@dataclass
class ModelOptions:
    """What the models are like.

    Args:
        known: Model ids that are there, without region prefix; none = every one.
        context_tokens: Most tokens of input and answer together.
        max_output_tokens: What a call without a maximum reserves and may be answered with.
        answer_tokens: About how long an answer is where the prompt names no number of words.
        bytes_per_token: The rule that tokens are counted by: UTF-8 bytes over this, rounded up.
    """

    known: list[str] = field(default_factory=list)
    context_tokens: int = 128_000
    max_output_tokens: int = 8_192
    answer_tokens: int = 200
    bytes_per_token: float = 4.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        check_at_least("context_tokens", self.context_tokens, 1)
        check_at_least("max_output_tokens", self.max_output_tokens, 1)
        check_at_least("answer_tokens", self.answer_tokens, 1)
        if self.bytes_per_token <= 0:
            raise ValueError(f"bytes_per_token={self.bytes_per_token} must be more than 0")


@dataclass
class ServerOptions:
    """A whole model server.

    Args:
        port: Where it listens on the loopback interface; 0 = any free port.
        seed: What latencies and faults are drawn from, prompt by prompt.
        log: A file that gets one JSON line a call; None = none.
        latency: How long a model takes.
        quota: What each model admits.
        concurrency: How many calls are worked on at once.
        faults: What goes wrong.
        model: What the models are like.
    """

    port: int = 0
    seed: int = 0
    log: str | None = None
    latency: LatencyOptions = field(default_factory=LatencyOptions)
    quota: ServerQuotaOptions = field(default_factory=ServerQuotaOptions)
    concurrency: ConcurrencyOptions = field(default_factory=ConcurrencyOptions)
    faults: FaultOptions = field(default_factory=FaultOptions)
    model: ModelOptions = field(default_factory=ModelOptions)

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port={self.port} is not between 0 and 65535")
