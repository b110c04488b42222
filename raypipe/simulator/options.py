"""Define the typed options of the model server, as in `conf/simulate.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from raypipe.core.options import check_at_least

OVER_LIMIT = ("throttle", "queue")
STEP_KEYS = ("fault", "set", "contains", "nth", "times", "seconds")
"""Keys of a step of `faults.script`."""


@dataclass
class LatencyOptions:
    """Duration of a call.

    Args:
        base_s: Median of the lognormal part, in seconds.
        sigma: Standard deviation of the logarithm of that part; 0 for a constant duration.
        per_output_token_s: Seconds added by each output token.
    """

    base_s: float = 0.0
    sigma: float = 0.0
    per_output_token_s: float = 0.0

    def __post_init__(self) -> None:
        """Check the values."""
        for option in fields(self):
            check_at_least(option.name, getattr(self, option.name), 0)


@dataclass
class ServerQuotaOptions:
    """Quota of each model; None for no limit.

    Args:
        tokens_per_minute: Quota tokens a minute, refilled continuously.
        tokens_per_day: Quota tokens in 24 hours from the first call.
        requests_per_minute: Admitted requests a minute, refilled continuously.
        burndown: Quota tokens that an output token costs when a call is settled.
        capacity_s: Seconds of quota that the bucket holds.
        start_level: Filled share of the bucket at the first call, 0 to 1.
    """

    tokens_per_minute: int | None = None
    tokens_per_day: int | None = None
    requests_per_minute: int | None = None
    burndown: float = 1.0
    capacity_s: float = 5.0
    start_level: float = 0.0

    def __post_init__(self) -> None:
        """Check the values."""
        for name in ("tokens_per_minute", "tokens_per_day", "requests_per_minute"):
            if getattr(self, name) is not None:
                check_at_least(name, getattr(self, name), 1)
        check_at_least("burndown", self.burndown, 0)
        if self.capacity_s <= 0:
            raise ValueError(f"capacity_s={self.capacity_s} must be more than 0")
        if not 0 <= self.start_level <= 1:
            raise ValueError(f"start_level={self.start_level} must be between 0 and 1")


@dataclass
class ConcurrencyOptions:
    """Limit of concurrent calls.

    Args:
        limit: Maximum of concurrent calls of all models; None for no limit.
        over_limit: What happens to further calls: `throttle` (status 429) or `queue`.
    """

    limit: int | None = None
    over_limit: str = "throttle"

    def __post_init__(self) -> None:
        """Check the values."""
        if self.limit is not None:
            check_at_least("limit", self.limit, 1)
        if self.over_limit not in OVER_LIMIT:
            raise ValueError(f"over_limit={self.over_limit}: choose {' or '.join(OVER_LIMIT)}")


@dataclass
class FaultOptions:
    """Share of calls that fail in each way, from 0 to 1, and a script of exact faults.

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
        hang: The answer is delayed by `hang_s`.
        reset: The connection is closed without an answer, after the latency.
        truncated: 200 with the first half of the JSON body only.
        empty: 200 with an empty text.
        max_tokens: 200 with half of the text, stopped at max_tokens.
        refusal: 200 with a polite refusal.
        filtered: 200 without a text, stopped by a content filter.
        unstructured: 200 with plain text although JSON was requested.
        hang_s: Duration of a hang, in seconds.
        script: Steps: mappings with `fault` or `set`, and `contains`, `nth`, `times`, `seconds`.
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
        """Check the values and the script."""
        for name in FAULTS:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)} must be between 0 and 1")
        if (total := sum(getattr(self, name) for name in FAULTS)) > 1 + 1e-9:
            raise ValueError(f"the shares of all faults add up to {total:g}; the maximum is 1")
        check_at_least("hang_s", self.hang_s, 0)
        for number, step in enumerate(self.script):
            _check_step(f"script[{number}]", step)


FAULTS = tuple(
    option.name for option in fields(FaultOptions) if option.name not in ("hang_s", "script")
)
"""Names of all faults."""


def _check_step(name: str, step: Any) -> None:
    if not isinstance(step, Mapping) or not (("fault" in step) ^ ("set" in step)):
        raise ValueError(f"{name} must be a mapping with either fault or set")
    if unknown := set(map(str, step)) - set(STEP_KEYS):
        raise ValueError(
            f"{name} has no key {', '.join(sorted(unknown))}; choose from {', '.join(STEP_KEYS)}"
        )
    if "fault" in step and step["fault"] not in FAULTS:
        raise ValueError(f"{name}: fault={step['fault']}: choose one of {', '.join(FAULTS)}")
    if "set" in step and not isinstance(step["set"], Mapping):
        raise ValueError(f"{name}: set must be a mapping of options")
    for key, least in (("nth", 1), ("times", 1), ("seconds", 0)):
        value = step.get(key, least)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{name}: {key}={value} is not a number")
        check_at_least(f"{name}: {key}", value, least)


@dataclass
class ModelOptions:
    """Properties of the models.

    Args:
        known: Ids of the available models, without region prefix; empty for any id.
        context_tokens: Maximum tokens of input and answer together.
        max_output_tokens: Maximum tokens of an answer if the call sets none.
        answer_tokens: Approximate tokens of an answer if the prompt requests no number of words.
        bytes_per_token: A text has its UTF-8 bytes over this number of tokens, rounded up.
        tiers: Service tiers that the models have; other tiers are refused.
    """

    known: list[str] = field(default_factory=list)
    context_tokens: int = 128_000
    max_output_tokens: int = 8_192
    answer_tokens: int = 200
    bytes_per_token: float = 4.0
    tiers: list[str] = field(default_factory=lambda: ["default", "flex", "priority"])

    def __post_init__(self) -> None:
        """Check the values."""
        check_at_least("context_tokens", self.context_tokens, 1)
        check_at_least("max_output_tokens", self.max_output_tokens, 1)
        check_at_least("answer_tokens", self.answer_tokens, 1)
        if self.bytes_per_token <= 0:
            raise ValueError(f"bytes_per_token={self.bytes_per_token} must be more than 0")


@dataclass
class ServerOptions:
    """Options of a model server.

    Args:
        port: Port on the loopback interface; 0 for any free port.
        seed: Seed of latencies and faults, which are drawn for each prompt and attempt.
        log: File that gets one JSON line a call; None for no log.
        latency: Duration of a call.
        quota: Quota of each model.
        concurrency: Limit of concurrent calls.
        faults: Share of calls that fail, and a script of exact faults.
        model: Properties of the models.
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
        """Check the values."""
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port={self.port} must be between 0 and 65535")
