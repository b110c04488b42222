"""Typed options that raypipe reads itself; parts have their own in their classes."""

from __future__ import annotations

from dataclasses import dataclass, field

LEAST_OBJECT_STORE_MB = 75
"""Ray starts with no less shared memory (`ray_constants.OBJECT_STORE_MINIMUM_MEMORY_BYTES`)."""


SCALES: dict[str, int | None] = {
    "small": 100,
    "medium": 1_000,
    "large": 10_000,
    "very_large": None,
}
"""The presets of conf/scale/, and for how many books each is meant at most."""


@dataclass
class StageOptions:
    """One pool of actors.

    Args:
        workers: Actors in the pool.
        num_cpus: Share of a core that each actor reserves; at most 0.1 for one that only waits.
        memory_mb: Memory that each actor takes, for the check at the start.
        num_gpus: GPUs that each actor reserves, a share of one or whole ones.
    """

    workers: int = 1
    num_cpus: float = 0.3
    memory_mb: int = 180
    num_gpus: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        at_least("workers", self.workers, 1)
        at_least("num_cpus", self.num_cpus, 0)
        at_least("num_gpus", self.num_gpus, 0)
        at_least("memory_mb", self.memory_mb, 0)


@dataclass
class SummarizeOptions:
    """The pool that reads and summarizes.

    Args:
        workers: Actors in the pool; None = one a core, as far as cores and memory hold them.
        num_cpus: Share of a core that each reserves; None = an even share of what the other
            stages leave, at most 0.6, or 0.1 where it waits for a model.
        memory_mb: Memory that each actor takes, for the check at the start.
        calls_per_worker: Parcels that one actor works on at once; None = 1 where it computes, as
            many as keep the models' calls in flight where it waits for them.
        books_per_task: Most books in a parcel, the unit of Ray's work and retries; one where a
            model is called, for a parcel ends with its slowest book.
        bytes_per_task: Most source bytes in a parcel, so that large books wait for few others.
    """

    workers: int | None = None
    num_cpus: float | None = None
    memory_mb: int = 300
    calls_per_worker: int | None = None
    books_per_task: int = 64
    bytes_per_task: int = 4_000_000

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.workers is not None:
            at_least("workers", self.workers, 1)
        if self.num_cpus is not None:
            at_least("num_cpus", self.num_cpus, 0)
        at_least("memory_mb", self.memory_mb, 0)
        if self.calls_per_worker is not None:
            at_least("calls_per_worker", self.calls_per_worker, 1)
        at_least("books_per_task", self.books_per_task, 1)
        at_least("bytes_per_task", self.bytes_per_task, 1)


@dataclass
class WriteOptions:
    """The write tasks.

    Args:
        tasks: Write tasks at once.
        num_cpus: Share of a core that each reserves.
        memory_mb: Memory that each takes, for the check at the start.
    """

    tasks: int = 2
    num_cpus: float = 0.2
    memory_mb: int = 180

    def __post_init__(self) -> None:
        """Check the ranges."""
        at_least("tasks", self.tasks, 1)
        at_least("num_cpus", self.num_cpus, 0)
        at_least("memory_mb", self.memory_mb, 0)


@dataclass
class Stages:
    """The sizes of the graph; presets stand in conf/scale/.

    Args:
        preset: The name of the preset, for a hint when another suits the listing; '' = none.
        check_memory: Whether a local run is refused that this machine's memory cannot hold.
        summarize: The pool that reads and summarizes.
        embed: The pool that embeds.
        write: The write tasks.
    """

    preset: str = ""
    check_memory: bool = True
    summarize: SummarizeOptions = field(default_factory=SummarizeOptions)
    embed: StageOptions = field(default_factory=StageOptions)
    write: WriteOptions = field(default_factory=WriteOptions)


@dataclass
class BreakerOptions:
    """When a run stops by itself because the books fail.

    Args:
        first: Stop when the first this many books all fail in the same way; 0 = never.
        window: Look at this many last books; 0 = never.
        max_share: Stop when more than this share of the window failed.
    """

    first: int = 20
    window: int = 200
    max_share: float = 0.5

    def __post_init__(self) -> None:
        """Check the ranges."""
        at_least("first", self.first, 0)
        at_least("window", self.window, 0)
        if not 0 < self.max_share <= 1:
            raise ValueError(f"max_share={self.max_share} is not between 0 and 1")


INDEX_MODES = ("auto", "alias", "inplace")


@dataclass
class IndexOptions:
    """How an index changes.

    Args:
        mode: `alias` builds a new index beside the one that is served and lets the alias go over
            when it is whole, `inplace` writes into the one that is served; `auto` builds where
            that one holds another recipe or does not fit, and else writes into it.
        keep: Old indices that are kept, to go back to.
        tune_from: From so many documents on, a new index is loaded without replicas and refreshes.
        force_merge: Segments a shard that a new index is merged to; None = it is not.
    """

    mode: str = "auto"
    keep: int = 1
    tune_from: int = 100_000
    force_merge: int | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.mode not in INDEX_MODES:
            raise ValueError(f"mode={self.mode}: choose one of {', '.join(INDEX_MODES)}")
        at_least("keep", self.keep, 0)
        at_least("tune_from", self.tune_from, 0)
        if self.force_merge is not None:
            at_least("force_merge", self.force_merge, 1)


@dataclass
class QuotaOptions:
    """What the models' account may take, over all workers.

    Args:
        managed: Whether tokens and requests are counted and throttling is learned from; False
            where the server has no quota, only a limit of calls in flight.
        tokens_per_minute: Quota tokens a minute; None = not known, found out by throttling.
        requests_per_minute: Requests a minute; None = no limit.
        tokens_per_day: Quota tokens in 24 hours; None = no limit.
        max_in_flight: Most calls in flight.
        account: Tells accounts apart on one cluster, where one profile does not.
    """

    managed: bool = True
    tokens_per_minute: int | None = None
    requests_per_minute: int | None = None
    tokens_per_day: int | None = None
    max_in_flight: int = 64
    account: str = ""

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("tokens_per_minute", "requests_per_minute", "tokens_per_day"):
            if getattr(self, name) is not None:
                at_least(name, getattr(self, name), 1)
        at_least("max_in_flight", self.max_in_flight, 1)


BUDGET_SCOPES = ("state", "run")


@dataclass
class BudgetOptions:
    """What models may cost.

    Args:
        max_usd: Most dollars; None = no limit.
        max_tokens: Most tokens, input and output together; None = no limit.
        scope: `state` counts all that this state ever paid for, `run` this run alone.
    """

    max_usd: float | None = None
    max_tokens: int | None = None
    scope: str = "state"

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("max_usd", "max_tokens"):
            if getattr(self, name) is not None:
                at_least(name, getattr(self, name), 0)
        if self.scope not in BUDGET_SCOPES:
            raise ValueError(f"scope={self.scope}: choose {' or '.join(BUDGET_SCOPES)}")


@dataclass
class RayOptions:
    """Where Ray runs.

    Args:
        address: `local` starts one here; `auto` or an address joins a running cluster.
        num_cpus: Cores for a local Ray, None = all; of a cluster, what it can grow to where Ray
            does not know it.
        dashboard: Whether a local Ray has its dashboard (about two seconds of start).
        object_store_mb: Shared memory of a local Ray; None = Ray's own choice.
        temp_dir: Where a local Ray keeps its session; None = Ray's own choice.
    """

    address: str = "local"
    num_cpus: int | None = None
    dashboard: bool = True
    object_store_mb: int | None = 256
    temp_dir: str | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        if self.num_cpus is not None:
            at_least("num_cpus", self.num_cpus, 1)
        if self.object_store_mb is not None:
            at_least("object_store_mb", self.object_store_mb, LEAST_OBJECT_STORE_MB)


@dataclass
class StateOptions:
    """Where the ledger is kept.

    Args:
        uri: A folder, or s3://bucket/prefix (needed on a cluster).
    """

    uri: str = "raypipe-data/state"


@dataclass
class EmbeddedOptions:
    """What raypipe starts on this machine by itself.

    Args:
        data: Folder of the embedded services.
    """

    data: str = "raypipe-data"


def check_output(output: str) -> None:
    """Raise ValueError unless the output format is one we know."""
    if output not in ("text", "json"):
        raise ValueError(f"output={output}: choose text or json")


def at_least(name: str, value: float, least: float) -> None:
    """Raise ValueError if a value is too small."""
    if value < least:
        raise ValueError(f"{name}={value} must be at least {least}")
