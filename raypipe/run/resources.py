"""Fit the sizes of the graph to cores and memory, and refuse a run that cannot fit."""

from __future__ import annotations

import dataclasses
import logging
import math
from urllib.parse import urlsplit

from raypipe.core.errors import SetupError
from raypipe.core.net import is_loopback
from raypipe.core.options import RayOptions
from raypipe.core.stage_options import SCALES, Stages
from raypipe.embedders import Embedder
from raypipe.embedders.protocol import LightEmbedder
from raypipe.run.machine import Machine, this_machine

log = logging.getLogger(__name__)

LOCAL_HINT = (
    "scale=small needs no Ray: executor=local does the same work in threads, and starts sooner"
)
_NEEDS_NO_RAY = "small"

MB = 1_000_000
LISTING_CPUS = 0.1
"""Share of a core for the read task, which only hands out keys."""

COMPUTING_CPUS = 0.6
"""Largest default share of a core for an actor that computes; it also waits for S3 and work."""

WAITING_CPUS = 0.1
"""Default share of a core for an actor that waits for a model."""

MAX_CALLS_PER_WORKER = 64
"""Model calls that one worker has in flight."""

SPARE_BOOKS = 16
"""Most books of a worker, beside those with a call in flight, that are read or checked meanwhile;
each takes about a megabyte."""

MIN_BOOKS_PER_WORKER = 8
"""Least number of books for which another worker is started."""

RAY_MB = 1_000
"""Memory of Ray 2.60 on one machine and of this process, with the dashboard, without workers.
Measured on 2 cores: 550 MB of PSS without the dashboard."""

DASHBOARD_MB = 400
"""Memory that Ray saves without its dashboard."""

STORE_MB = 256
"""Memory counted for Ray's object store where Ray chooses its size; it holds keys and rows only."""

NODE_MB = 1_100
"""Memory of an OpenSearch node on this machine: a heap of 768 MB and Java's overhead."""

BOOKS_PER_MB = 1_000
"""Listed books whose keys and plan fit in a megabyte (measured: 1,600)."""

_ROUNDING = 1e-9


def check_resources(
    stages: Stages,
    ray: RayOptions,
    books: int,
    endpoint: str = "",
    machine: Machine | None = None,
) -> Stages:
    """Check that a local run fits this machine; suggest a larger preset where one suits.

    Call it before Ray starts. On a cluster it checks nothing: the nodes are other machines.

    Args:
        stages: Sizes of the graph.
        ray: Where Ray runs.
        books: Number of books that the run processes.
        endpoint: URL of OpenSearch; a node on this machine takes part of its memory.
        machine: The machine; None measures this one.

    Returns:
        The sizes; where `workers` is null and Ray is local, with as many workers as cores and
        memory allow.

    Raises:
        SetupError: The machine cannot hold the run; the message has the numbers.
    """
    if hint := suggest_scale(stages.preset, books):
        log.info("%s", hint)
    if ray.address != "local":
        return stages
    if stages.preset == _NEEDS_NO_RAY and not hint:
        log.info("%s", LOCAL_HINT)
    machine = machine or this_machine()
    # Ray counts whole cores, at least 1; num_cpus may name more than the machine has.
    cpus = ray.num_cpus or max(math.floor(machine.cpus), 1)
    node = NODE_MB if is_loopback(urlsplit(endpoint).hostname or "") else 0
    free = machine.memory // MB - node - _base_memory(stages, ray, books)
    max_workers = max(free // max(stages.summarize.memory_mb, 1), 1)
    max_workers = min(max_workers, math.ceil(books / MIN_BOOKS_PER_WORKER) or 1)
    sizes = resolve_workers(stages, cpus, max_workers)
    if sizes.check_memory:
        _check_memory(sizes, ray, books, node, machine)
    # num_cpus stays null where it was null: Ray may count other cores than this function.
    pool = dataclasses.replace(stages.summarize, workers=sizes.summarize.workers)
    return dataclasses.replace(stages, summarize=pool)


def _check_memory(stages: Stages, ray: RayOptions, books: int, node: int, machine: Machine) -> None:
    summarize = stages.summarize
    workers = summarize.workers or 1
    base = _base_memory(stages, ray, books)
    need = base + workers * summarize.memory_mb
    parts = f"{workers} x {summarize.memory_mb} for stages.summarize.workers={workers}"
    parts += f", {base:,} for Ray and the other stages"
    total, free = machine.memory // MB, machine.available // MB
    if need + node > total:
        parts += f", {node:,} for the local OpenSearch" if node else ""
        fixes = ["ray.dashboard=false", "a larger machine"]
        if node:
            fixes.insert(0, "an OpenSearch on another machine")
        if workers > 1:
            fixes.insert(0, "fewer stages.summarize.workers")
        raise SetupError(
            f"the run needs {need + node:,} MB of memory ({parts}) and this machine has "
            f"{total:,} MB. Use {', '.join(fixes)}, or stages.check_memory=false to run anyway"
        )
    if need > free:
        log.warning(
            "the run needs %s MB of memory (%s), but only %s MB of %s MB are free; "
            "stop other programs if books fail as killed_worker",
            *(f"{need:,}", parts, f"{free:,}", f"{total:,}"),
        )


def _base_memory(stages: Stages, ray: RayOptions, books: int) -> int:
    """Return the megabytes that a local run needs in addition to its summarizers."""
    store = ray.object_store_mb or STORE_MB
    base = RAY_MB - (0 if ray.dashboard else DASHBOARD_MB) + store
    embed = (stages.embed.workers or 0) * stages.embed.memory_mb
    return base + embed + _writers(stages) * stages.write.memory_mb + books // BOOKS_PER_MB


def work_is_whole(stages: Stages) -> bool:
    """Whether each worker takes its books through all stages, because no stage needs a pool."""
    return not stages.embed.workers


def _writers(stages: Stages) -> int:
    """Return the number of processes that only write."""
    return 0 if work_is_whole(stages) else stages.write.writers


def suggest_scale(preset: str, books: int) -> str:
    """Return a line that names the preset for this many books, or ''.

    Only a preset that is too small is mentioned: batches shrink by themselves, so a larger
    preset costs a small run little.

    Args:
        preset: Name of the preset in use; '' for none.
        books: Number of books.
    """
    limit = SCALES.get(preset)
    if limit is None or books <= limit:
        return ""
    better = next(name for name, most in SCALES.items() if most is None or books <= most)
    return f"scale={better} suits {books:,} books; scale={preset} is for up to {limit:,}"


def size_for_models(stages: Stages, max_in_flight: int) -> Stages:
    """Return the sizes for a summarizer that waits for models; others stay as they are.

    Args:
        stages: Sizes of the graph.
        max_in_flight: Maximum number of model calls in flight, over all workers; 0 for a
            summarizer that computes.
    """
    pool = stages.summarize
    if not max_in_flight:
        return stages
    share = WAITING_CPUS if pool.num_cpus is None else pool.num_cpus
    most = math.ceil(max_in_flight / MAX_CALLS_PER_WORKER)
    workers = most if pool.workers is None else pool.workers
    pool = dataclasses.replace(pool, books_per_task=1, num_cpus=share, workers=workers)
    return dataclasses.replace(stages, summarize=pool)


def place_embedding(stages: Stages, embedder: Embedder) -> Stages:
    """Return the sizes with the number of embedders set: 0 for the summarizers' processes.

    Args:
        stages: Sizes of the graph.
        embedder: The embedder of the run.
    """
    if stages.embed.workers is not None:
        return stages
    workers = 0 if shares_embedder(embedder) and not stages.embed.num_gpus else 1
    return dataclasses.replace(stages, embed=dataclasses.replace(stages.embed, workers=workers))


def shares_embedder(embedder: Embedder) -> bool:
    """Whether the threads of a worker may embed at the same time, at little cost."""
    if embedder.paid_model is not None:
        return True  # it waits for a model
    return isinstance(embedder, LightEmbedder) and embedder.is_light


def set_calls_per_worker(stages: Stages, max_in_flight: int) -> Stages:
    """Return the sizes with the number of books that each summarizer processes at once.

    Args:
        stages: Sizes of the graph; the number of workers is set.
        max_in_flight: As for `size_for_models`. One call per book keeps this many calls in
            flight even if all books are short.
    """
    pool = stages.summarize
    calls = min(math.ceil(max_in_flight / (pool.workers or 1)), MAX_CALLS_PER_WORKER)
    calls += min(calls, SPARE_BOOKS)
    pool = dataclasses.replace(pool, calls_per_worker=pool.calls_per_worker or max(calls, 1))
    return dataclasses.replace(stages, summarize=pool)


def resolve_workers(stages: Stages, cpus: float, max_workers: int | None = None) -> Stages:
    """Return the sizes with numbers where the summarizers' workers or CPU share are null.

    Args:
        stages: Sizes of the graph.
        cpus: Cores that Ray has.
        max_workers: Upper bound where the number of workers is null; None for no bound but the
            cores.

    Raises:
        SetupError: The graph does not fit the cores; see `check_cores`.
    """
    embed, write, summarize = stages.embed, stages.write, stages.summarize
    writers = _writers(stages)
    pools = (embed.workers or 0) * embed.num_cpus + writers * write.num_cpus
    left = cpus - LISTING_CPUS - pools
    workers, share = summarize.workers, summarize.num_cpus
    if workers is None:
        by_cores = int((left + _ROUNDING) / (share or COMPUTING_CPUS))
        workers = max(min(by_cores, int(cpus), max_workers or by_cores), 1)
    if share is None:
        # Rounded down to the precision of Ray's accounting, so that all workers fit.
        share = max(min(COMPUTING_CPUS, math.floor((left + _ROUNDING) / workers * 1e3) / 1e3), 1e-3)
    pool = dataclasses.replace(summarize, workers=workers, num_cpus=share)
    sizes = dataclasses.replace(stages, summarize=pool)
    check_cores(sizes, cpus)
    return sizes


def check_cores(stages: Stages, cpus: float) -> None:
    """Check that all pools fit the cores at the same time.

    Ray would wait forever for an actor that fits nowhere.

    Raises:
        SetupError: The graph reserves more cores than Ray has.
    """
    summarize, embed = stages.summarize, stages.embed
    reserved = {
        "listing": LISTING_CPUS,
        "stages.summarize": (summarize.workers or 1) * (summarize.num_cpus or 0),
        "stages.embed": (embed.workers or 0) * embed.num_cpus,
        "stages.write": _writers(stages) * stages.write.num_cpus,
    }
    total = sum(reserved.values())
    if total > cpus + _ROUNDING:
        shares = ", ".join(f"{name} {share:g}" for name, share in reserved.items())
        raise SetupError(
            f"the graph reserves {total:g} CPUs ({shares}) and Ray has {cpus:g}; "
            "lower workers or num_cpus of a stage, or choose a smaller scale"
        )
