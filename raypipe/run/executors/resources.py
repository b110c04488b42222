"""What this machine has, and whether a run fits it: cores, memory, as a container sees them."""

from __future__ import annotations

import dataclasses
import logging
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from raypipe.core.errors import SetupError
from raypipe.core.net import is_loopback
from raypipe.core.options import SCALES, RayOptions, Stages

log = logging.getLogger(__name__)

MB = 1_000_000
LISTING_CPUS = 0.1
"""The read task only hands out keys."""

COMPUTING = 0.6
"""Share of a core that is enough for an actor that computes: it also waits, for S3 and for work."""

WAITING = 0.1
"""Share of a core for an actor that waits for a model."""

MOST_BOOKS_AT_ONCE = 64
"""Books that one worker holds at once while models work on them: about a megabyte each."""

RAY_MB = 1_150
"""Ray 2.60 on one machine and this process, without actors and write tasks: measured 1,150 MB of
PSS on 2 cores while 40 real books of 0.5 MB went through."""

DASHBOARD_MB = 150
"""What Ray needs less without its dashboard."""

STORE_MB = 256
"""What is counted for Ray's object store where Ray chooses its size: only keys and rows go in."""

NODE_MB = 1_100
"""An OpenSearch node beside us: a heap of 768 MB and what Java needs around it."""

BOOKS_PER_MB = 1_000
"""Listed books whose keys, and what the plan says of them, fit in a megabyte (measured 1,600)."""


@dataclass(frozen=True)
class Machine:
    """What a process can have here: the machine's, or less where a container sets limits.

    Args:
        cpus: Cores, a fraction where a quota says so.
        memory: Bytes of memory there are.
        available: Bytes of them that are free, or can be freed by the kernel.
    """

    cpus: float
    memory: int
    available: int


def this_machine(root: Path = Path("/")) -> Machine:
    """Return what there is here; psutil alone tells of the host, whatever the container's limits.

    Args:
        root: Where proc/ and sys/ are; another one for tests.
    """
    seen = psutil.virtual_memory()
    memory, available = seen.total, seen.available
    for limit, used in _memory_limits(root):
        memory, available = min(memory, limit), min(available, max(limit - used, 0))
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Machine(min([float(affinity or 1), *_cpu_limits(root)]), memory, available)


def _memory_limits(root: Path) -> Iterator[tuple[int, int]]:
    """Yield the limit of each control group around us, and the bytes used that stay used."""
    for folder in _groups(root, "memory", "memory"):
        for limit, usage, cache in (
            ("memory.max", "memory.current", "inactive_file"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ):
            most, used = _number(folder / limit), _number(folder / usage)
            if most is not None and used is not None:
                yield int(most), int(used) - _stat(folder / "memory.stat", cache)


def _cpu_limits(root: Path) -> Iterator[float]:
    for folder in _groups(root, "cpu", "cpu"):
        quota, _, period = _text(folder / "cpu.max").partition(" ")
        if not period:
            quota, period = (_text(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period"))
        if quota.isdigit() and period.isdigit() and int(period):
            yield max(int(quota) / int(period), 0.01)


def _groups(root: Path, controller: str, mount: str) -> Iterator[Path]:
    """Yield the folders of our control group and of those around it, of version 2 and 1."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0" and not controllers:
            top = root / "sys/fs/cgroup"
        elif controller in controllers.split(","):
            top = root / "sys/fs/cgroup" / mount
        else:
            continue
        # In a container the path may be the host's, which is not there: the top is ours then.
        own = top / path.strip("/")
        yield from [own, *(one for one in own.parents if one.is_relative_to(top))]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text.isdigit() else None  # "max" is no limit


def _stat(path: Path, name: str) -> int:
    found = dict(line.partition(" ")[::2] for line in _text(path).splitlines()).get(name, "0")
    return int(found) if found.isdigit() else 0


def check_resources(
    stages: Stages,
    ray: RayOptions,
    books: int,
    endpoint: str = "",
    machine: Machine | None = None,
) -> Stages:
    """Check that a local run fits this machine, before Ray is started; say what could be better.

    Args:
        stages: The sizes of the graph.
        ray: Where Ray runs; nodes of a cluster are not this machine, so they are not looked at.
        books: Books that the run takes.
        endpoint: The OpenSearch; one on this machine takes some of its memory.
        machine: What there is; None = this machine.

    Returns:
        The sizes, with as many workers as cores and memory allow where `workers` is null; on a
        cluster, as they were.

    Raises:
        SetupError: The machine cannot hold the run, with the numbers and the way out.
    """
    if hint := better_scale(stages.preset, books):
        log.info("%s", hint)
    if ray.address != "local":
        return stages
    machine = machine or this_machine()
    # Ray takes whole cores, and one at least; more than there are if a person says so.
    cpus = ray.num_cpus or max(math.floor(machine.cpus), 1)
    node = NODE_MB if is_loopback(urlsplit(endpoint).hostname or "") else 0
    free = machine.memory // MB - node - _besides(stages, ray, books)
    fits = max(free // max(stages.summarize.memory_mb, 1), 1)
    sizes = resolve_workers(stages, cpus, most=fits)
    if sizes.check_memory:
        _check_memory(sizes, ray, books, node, machine)
    # The share of a core stays open where it was: Ray may have other cores than we counted.
    pool = dataclasses.replace(stages.summarize, workers=sizes.summarize.workers)
    return dataclasses.replace(stages, summarize=pool)


def _check_memory(stages: Stages, ray: RayOptions, books: int, node: int, machine: Machine) -> None:
    summarize = stages.summarize
    workers = summarize.workers or 1
    need = _besides(stages, ray, books) + workers * summarize.memory_mb
    parts = f"{workers} x {summarize.memory_mb} for stages.summarize.workers={workers}"
    parts += f", {_besides(stages, ray, books):,} for Ray and the other stages"
    total, free = machine.memory // MB, machine.available // MB
    if need + node > total:
        parts += f", {node:,} for the OpenSearch beside it" if node else ""
        fewer = "lower stages.summarize.workers, " if workers > 1 else ""
        other = "an opensearch elsewhere, " if node else ""
        raise SetupError(
            f"the run needs {need + node:,} MB of memory ({parts}) and this machine has "
            f"{total:,} MB; {fewer}take {other}ray.dashboard=false or a larger machine, or set "
            "stages.check_memory=false to try all the same"
        )
    if need > free:
        log.warning(
            "the run needs %s MB of memory (%s) and %s MB of %s MB are free now; "
            "end something else if books fail as killed_worker",
            *(f"{need:,}", parts, f"{free:,}", f"{total:,}"),
        )


def _besides(stages: Stages, ray: RayOptions, books: int) -> int:
    """Return the megabytes that a local run needs besides its summarizers."""
    store = ray.object_store_mb or STORE_MB
    base = RAY_MB - (0 if ray.dashboard else DASHBOARD_MB) + store
    embed = stages.embed.workers * stages.embed.memory_mb
    return base + embed + stages.write.tasks * stages.write.memory_mb + books // BOOKS_PER_MB


def better_scale(preset: str, books: int) -> str:
    """Return a line about the preset that suits so many books, or an empty string.

    A larger preset harms a small run little, for its parcels shrink by themselves; so only a
    preset that is too small is worth a word.
    """
    if preset not in SCALES or books <= (SCALES[preset] or books):
        return ""
    suits = next(name for name, most in SCALES.items() if most is None or books <= most)
    return f"scale={suits} suits {books:,} books; scale={preset} is for up to {SCALES[preset]:,}"


def size_for_models(stages: Stages, in_flight: int) -> Stages:
    """Return the sizes that suit a summarizer which waits for models; others as they are.

    Args:
        stages: The sizes of the graph.
        in_flight: Model calls that may be in flight, over all workers; 0 = it computes.
    """
    pool = stages.summarize
    if not in_flight:
        return stages
    share = WAITING if pool.num_cpus is None else pool.num_cpus
    pool = dataclasses.replace(pool, books_per_task=1, num_cpus=share)
    return dataclasses.replace(stages, summarize=pool)


def set_calls_per_worker(stages: Stages, in_flight: int) -> Stages:
    """Return the sizes with a number of books that each summarizer works on at once.

    Args:
        stages: The sizes of the graph, with a number of workers.
        in_flight: As `suited`; one call a book keeps them filled even where books are short.
    """
    pool = stages.summarize
    calls = min(math.ceil(in_flight / (pool.workers or 1)), MOST_BOOKS_AT_ONCE)
    pool = dataclasses.replace(pool, calls_per_worker=pool.calls_per_worker or max(calls, 1))
    return dataclasses.replace(stages, summarize=pool)


def resolve_workers(stages: Stages, cpus: float, most: int | None = None) -> Stages:
    """Return the stages with numbers where the summarizers' workers or share of a core are null.

    Args:
        stages: The sizes of the graph.
        cpus: Cores there are.
        most: Most summarizers where their number is null; None = as many as the cores hold.

    Raises:
        SetupError: The graph does not fit the cores; see `check_fits`.
    """
    embed, write, summarize = stages.embed, stages.write, stages.summarize
    left = cpus - LISTING_CPUS - embed.workers * embed.num_cpus - write.tasks * write.num_cpus
    workers, share = summarize.workers, summarize.num_cpus
    if workers is None:
        hold = int((left + 1e-9) / (share or COMPUTING))
        workers = max(min(hold, int(cpus), most or hold), 1)
    if share is None:
        # Rounded down to what Ray can count; all of them together never ask for more.
        share = max(min(COMPUTING, math.floor((left + 1e-9) / workers * 1e3) / 1e3), 1e-3)
    pool = dataclasses.replace(summarize, workers=workers, num_cpus=share)
    sizes = dataclasses.replace(stages, summarize=pool)
    check_fits(sizes, cpus)
    return sizes


def check_fits(stages: Stages, cpus: float) -> None:
    """Raise `SetupError` unless all pools and one write task fit the cores at once.

    Ray waits for ever for an actor that fits nowhere.
    """
    summarize, embed = stages.summarize, stages.embed
    asked = {
        "listing": LISTING_CPUS,
        "stages.summarize": (summarize.workers or 1) * (summarize.num_cpus or 0),
        "stages.embed": embed.workers * embed.num_cpus,
        "one write task": stages.write.num_cpus,
    }
    total = sum(asked.values())
    if total > cpus + 1e-9:
        shares = ", ".join(f"{name} {share:g}" for name, share in asked.items())
        raise SetupError(
            f"the graph reserves {total:g} CPUs ({shares}) and Ray has {cpus:g}; "
            "lower workers or num_cpus of a stage, or choose a smaller scale"
        )
