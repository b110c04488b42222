"""Measure the cores and memory of this machine, as limited by its container."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

_MEMORY_FILES = (
    ("memory.max", "memory.current", "inactive_file"),  # control groups version 2
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),  # version 1
)


@dataclass(frozen=True)
class Machine:
    """Resources that a process can use here: the machine's, or the container's if smaller.

    Args:
        cpus: Cores; a fraction where a CPU quota is set.
        memory: Bytes of memory.
        available: Bytes of memory that are free or can be reclaimed by the kernel.
    """

    cpus: float
    memory: int
    available: int


def this_machine(root: Path = Path("/")) -> Machine:
    """Return the resources of this machine; psutil alone ignores container limits.

    Args:
        root: Folder that holds proc/ and sys/; tests give another one.
    """
    host = psutil.virtual_memory()
    memory, available = host.total, host.available
    for limit, used in _memory_limits(root):
        memory, available = min(memory, limit), min(available, max(limit - used, 0))
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Machine(min([float(affinity or 1), *_cpu_limits(root)]), memory, available)


def _memory_limits(root: Path) -> Iterator[tuple[int, int]]:
    """Yield limit and used bytes of each control group; reclaimable cache does not count."""
    for folder in _control_groups(root, "memory"):
        for limit_file, usage_file, cache_key in _MEMORY_FILES:
            limit, used = _read_number(folder / limit_file), _read_number(folder / usage_file)
            if limit is not None and used is not None:
                yield limit, used - _read_stat(folder / "memory.stat", cache_key)


def _cpu_limits(root: Path) -> Iterator[float]:
    for folder in _control_groups(root, "cpu"):
        quota, _, period = _read_text(folder / "cpu.max").partition(" ")
        if not period:
            quota = _read_text(folder / "cpu.cfs_quota_us")
            period = _read_text(folder / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit() and int(period):
            yield max(int(quota) / int(period), 0.01)


def _control_groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of this process's control group and its parents, versions 2 and 1."""
    for line in _read_text(root / "proc/self/cgroup").splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0" and not controllers:
            top = root / "sys/fs/cgroup"
        elif controller in controllers.split(","):
            top = root / "sys/fs/cgroup" / controller
        else:
            continue
        # In a container the path may be the host's and missing here; the top folder is then ours.
        own = top / path.strip("/")
        yield from [own, *(parent for parent in own.parents if parent.is_relative_to(top))]


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def _read_number(path: Path) -> int | None:
    text = _read_text(path)
    return int(text) if text.isdigit() else None  # "max" means no limit


def _read_stat(path: Path, key: str) -> int:
    stats = dict(line.partition(" ")[::2] for line in _read_text(path).splitlines())
    value = stats.get(key, "0")
    return int(value) if value.isdigit() else 0
