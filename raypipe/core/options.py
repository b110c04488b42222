"""Typed options of the pipeline; the options of exchangeable parts are in their classes."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from raypipe.core.paths import expand_home

MIN_OBJECT_STORE_MB = 75
"""Least shared memory with which Ray starts (`ray_constants.OBJECT_STORE_MINIMUM_MEMORY_BYTES`)."""


@dataclass
class BreakerOptions:
    """When a run stops because too many books fail.

    Args:
        first: Stop if the first `first` books all fail with the same kind; 0 to turn this off.
        window: Number of latest books that `max_share` is applied to; 0 to turn this off.
        max_share: Stop if more than this share of the window failed.
    """

    first: int = 20
    window: int = 200
    max_share: float = 0.5

    def __post_init__(self) -> None:
        """Check the values."""
        check_at_least("first", self.first, 0)
        check_at_least("window", self.window, 0)
        if not 0 < self.max_share <= 1:
            raise ValueError(f"max_share={self.max_share} is not between 0 and 1")


INDEX_MODES = ("auto", "alias", "inplace")


@dataclass
class IndexOptions:
    """How an index is updated.

    Args:
        mode: `alias` builds a new index and switches the alias when the index is complete.
            `inplace` writes into the served index. `auto` builds a new index if the served
            index has another recipe or an incompatible mapping; else it writes in place.
        keep: Number of old indices to keep for a rollback.
        tune_from: Disable replicas and refresh while loading indices with at least this many
            documents.
        force_merge: Number of segments per shard to merge a new index to; None for no merge.
    """

    mode: str = "auto"
    keep: int = 1
    tune_from: int = 100_000
    force_merge: int | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        if self.mode not in INDEX_MODES:
            raise ValueError(f"mode={self.mode}: choose one of {', '.join(INDEX_MODES)}")
        check_at_least("keep", self.keep, 0)
        check_at_least("tune_from", self.tune_from, 0)
        if self.force_merge is not None:
            check_at_least("force_merge", self.force_merge, 1)


@dataclass
class QuotaOptions:
    """Quota of the models' account, shared by all workers.

    Args:
        managed: Whether to count tokens and requests and to adapt to throttling. False for a
            server without a quota: only calls in flight are limited.
        tokens_per_minute: Quota tokens per minute; None if unknown, to find it by throttling.
        requests_per_minute: Requests per minute; None for no limit.
        tokens_per_day: Quota tokens in 24 hours; None for no limit.
        max_in_flight: Maximum number of calls in flight.
        account: Name that separates accounts on a cluster if their profile is the same.
    """

    managed: bool = True
    tokens_per_minute: int | None = None
    requests_per_minute: int | None = None
    tokens_per_day: int | None = None
    max_in_flight: int = 64
    account: str = ""

    def __post_init__(self) -> None:
        """Check the values."""
        for name in ("tokens_per_minute", "requests_per_minute", "tokens_per_day"):
            if getattr(self, name) is not None:
                check_at_least(name, getattr(self, name), 1)
        check_at_least("max_in_flight", self.max_in_flight, 1)


BUDGET_SCOPES = ("state", "run")


@dataclass
class BudgetOptions:
    """Limits of the cost of models.

    Args:
        max_usd: Maximum cost in US dollars; None for no limit.
        max_tokens: Maximum number of input and output tokens together; None for no limit.
        scope: `state` counts every call ever paid for in the state, `run` this run alone.
    """

    max_usd: float | None = None
    max_tokens: int | None = None
    scope: str = "state"

    def __post_init__(self) -> None:
        """Check the values."""
        for name in ("max_usd", "max_tokens"):
            if getattr(self, name) is not None:
                check_at_least(name, getattr(self, name), 0)
        if self.scope not in BUDGET_SCOPES:
            raise ValueError(f"scope={self.scope}: choose {' or '.join(BUDGET_SCOPES)}")


MAX_PORT = 65_535
DASHBOARD_BOOKS = 1_000
"""Least number of books for which Ray's dashboard is worth its start."""


@dataclass
class RayOptions:
    """Where Ray runs.

    Args:
        address: `local` to start Ray on this machine; `auto` or an address to join a cluster.
        num_cpus: CPU cores of a local Ray, None for all. For a cluster, the number of cores it
            can grow to, if Ray does not know it.
        dashboard: Whether a local Ray starts its dashboard, which takes about three seconds and
            10 processes; `auto` for a large run on a terminal, see `wants_dashboard`.
        object_store_mb: Shared memory of a local Ray in MB; None for Ray's default.
        temp_dir: Folder that keeps the sessions of a local Ray with their logs; None for a
            temporary folder that is deleted after the run.
        metrics_port: Port of this machine on which a local Ray shows its metrics to Prometheus; 0
            for a free port, None for none.
    """

    address: str = "local"
    num_cpus: int | None = None
    dashboard: bool | str = "auto"
    object_store_mb: int | None = 256
    temp_dir: str | None = None
    metrics_port: int | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        if self.dashboard not in (True, False, "auto"):
            raise ValueError(f"dashboard={self.dashboard}: set auto, true or false")
        if self.num_cpus is not None:
            check_at_least("num_cpus", self.num_cpus, 1)
        if self.object_store_mb is not None:
            check_at_least("object_store_mb", self.object_store_mb, MIN_OBJECT_STORE_MB)
        if self.metrics_port is not None and not 0 <= self.metrics_port <= MAX_PORT:
            raise ValueError(f"metrics_port={self.metrics_port}: give 0 to {MAX_PORT}, or null")
        if self.temp_dir is not None:
            self.temp_dir = str(expand_home(self.temp_dir, "temp_dir"))

    def wants_dashboard(self, books: int) -> bool:
        """Whether a local Ray starts its dashboard for a run.

        With `auto` it does if the run takes minutes and standard error is a terminal.

        Args:
            books: Number of books that the run processes.
        """
        if self.dashboard == "auto":
            return books >= DASHBOARD_BOOKS and sys.stderr.isatty()
        return bool(self.dashboard)


@dataclass
class StateOptions:
    """Where the state is kept: ledger, documents and cache.

    Args:
        uri: A folder, or s3://bucket/prefix, which a cluster needs.
    """

    uri: str = "raypipe-data/state"

    def __post_init__(self) -> None:
        """Check the place."""
        if not self.uri:
            raise ValueError("uri is empty; set it to a folder or s3://bucket/prefix")
        scheme, separator, place = self.uri.partition("://")
        if separator and (scheme != "s3" or not place.strip("/")):
            raise ValueError(f"uri={self.uri}: set a folder or s3://bucket/prefix")
        expand_home(self.uri, "uri")


@dataclass
class EmbeddedOptions:
    """Services that raypipe starts on this machine.

    Args:
        data: Folder in which the embedded services keep their data.
    """

    data: str = "raypipe-data"

    def __post_init__(self) -> None:
        """Check the folder."""
        if not self.data:
            raise ValueError("data is empty; set it to a folder")
        expand_home(self.data, "data")


EXECUTORS = ("ray", "local")


def check_executor(executor: str) -> None:
    """Raise ValueError if there is no such executor."""
    if executor not in EXECUTORS:
        raise ValueError(f"executor={executor}: choose {' or '.join(EXECUTORS)}")


def check_output(output: str, name: str = "output") -> None:
    """Raise ValueError if the format of an option is unknown."""
    if output not in ("text", "json"):
        raise ValueError(f"{name}={output}: choose text or json")


def check_at_least(name: str, value: float, least: float) -> None:
    """Raise ValueError if an option's value is less than `least`."""
    if value < least:
        raise ValueError(f"{name}={value} must be at least {least}")
