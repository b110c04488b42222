"""Sizes of the stages of a run."""

from __future__ import annotations

from dataclasses import dataclass, field

from raypipe.core.options import check_at_least

SCALES: dict[str, int | None] = {
    "small": 100,
    "medium": 1_000,
    "large": 10_000,
    "very_large": None,
}
"""Presets of conf/scale/, with the largest number of books that each is meant for."""


@dataclass
class EmbedOptions:
    """The pool of actors that embed.

    Args:
        workers: Number of actors; 0 to embed in the summarizers' processes; None for 0 if the
            embedder is light, else 1. A separate pool costs a task of Ray for each batch.
        num_cpus: CPU cores that each actor reserves; at most 0.1 for an actor that only waits.
        memory_mb: Memory of each actor in MB, for the check at the start of a run.
        num_gpus: GPUs that each actor reserves: a fraction of a GPU, or a whole number.
    """

    workers: int | None = None
    num_cpus: float = 0.3
    memory_mb: int = 180
    num_gpus: float = 0.0

    def __post_init__(self) -> None:
        """Check the values."""
        if self.workers is not None:
            check_at_least("workers", self.workers, 0)
        check_at_least("num_cpus", self.num_cpus, 0)
        check_at_least("num_gpus", self.num_gpus, 0)
        check_at_least("memory_mb", self.memory_mb, 0)


@dataclass
class SummarizeOptions:
    """The pool of actors that read and summarize.

    Args:
        workers: Number of actors; None for one per core, limited by cores and memory.
        num_cpus: CPU cores that each actor reserves; None for an even share of the cores that the
            other stages leave, at most 0.6, or 0.1 if the actor waits for a model.
        memory_mb: Memory of each actor in MB, for the check at the start of a run.
        calls_per_worker: Batches of books that an actor processes at the same time; None for 1 if
            the actor computes, or for as many as keep the allowed model calls in flight.
        books_per_task: Maximum number of books in a batch, which Ray schedules and retries as a
            whole. It is 1 if a model is called, because a batch ends with its slowest book.
        bytes_per_task: Maximum source bytes of a batch, so that large books delay few others.
    """

    workers: int | None = None
    num_cpus: float | None = None
    memory_mb: int = 420
    calls_per_worker: int | None = None
    books_per_task: int = 64
    bytes_per_task: int = 4_000_000

    def __post_init__(self) -> None:
        """Check the values."""
        if self.workers is not None:
            check_at_least("workers", self.workers, 1)
        if self.num_cpus is not None:
            check_at_least("num_cpus", self.num_cpus, 0)
        check_at_least("memory_mb", self.memory_mb, 0)
        if self.calls_per_worker is not None:
            check_at_least("calls_per_worker", self.calls_per_worker, 1)
        check_at_least("books_per_task", self.books_per_task, 1)
        check_at_least("bytes_per_task", self.bytes_per_task, 1)


GROUPS_PER_WRITER = 2
"""Groups that a process writes at once: the server works on one while the next is sent."""


@dataclass
class WriteOptions:
    """The processes that write to the ledger and to OpenSearch.

    Args:
        tasks: Groups of documents that are written at the same time; a process writes up to
            `GROUPS_PER_WRITER`.
        num_cpus: CPU cores that each process reserves.
        memory_mb: Memory of each process in MB, for the check at the start of a run.
    """

    tasks: int = 2
    num_cpus: float = 0.2
    memory_mb: int = 330

    def __post_init__(self) -> None:
        """Check the values."""
        check_at_least("tasks", self.tasks, 1)
        check_at_least("num_cpus", self.num_cpus, 0)
        check_at_least("memory_mb", self.memory_mb, 0)

    @property
    def writers(self) -> int:
        """Return the number of processes."""
        return -(-self.tasks // GROUPS_PER_WRITER)

    @property
    def groups_per_writer(self) -> int:
        """Return the number of groups that each process writes at once."""
        return -(-self.tasks // self.writers)


@dataclass
class Stages:
    """Sizes of the stages. Presets are in conf/scale/.

    Args:
        preset: Name of the preset, to suggest another preset if the number of books asks for
            it; '' for no suggestion.
        check_memory: Whether a local run that needs more memory than the machine has is refused.
        summarize: The pool of actors that read and summarize.
        embed: The pool of actors that embed.
        write: The processes that write.
    """

    preset: str = ""
    check_memory: bool = True
    summarize: SummarizeOptions = field(default_factory=SummarizeOptions)
    embed: EmbedOptions = field(default_factory=EmbedOptions)
    write: WriteOptions = field(default_factory=WriteOptions)
