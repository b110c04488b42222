"""Resources of this machine, and whether a run fits them."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from raypipe.core.errors import SetupError
from raypipe.core.options import RayOptions
from raypipe.core.stage_options import EmbedOptions, Stages, SummarizeOptions, WriteOptions
from raypipe.embedders.hash import HashEmbedder
from raypipe.run.machine import Machine, this_machine
from raypipe.run.resources import (
    LOCAL_HINT,
    MB,
    check_cores,
    check_resources,
    place_embedding,
    resolve_workers,
    set_calls_per_worker,
    size_for_models,
    suggest_scale,
)

GIB = 1024**3
SMALL = Machine(2.0, 4 * GIB, 4 * GIB)
NODE = "http://127.0.0.1:9200"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root


def stages(workers: int | None = 2, share: float | None = None, tasks: int = 2) -> Stages:
    return Stages(
        summarize=SummarizeOptions(workers, share),
        embed=EmbedOptions(1, 0.3),
        write=WriteOptions(tasks, 0.2),
    )


# Machine.


def test_without_limits_the_machine_counts(tmp_path: Path) -> None:
    machine = this_machine(tmp_path)
    assert machine.memory == psutil.virtual_memory().total
    assert machine.cpus >= 1


def test_limits_of_version_2_count_cache_as_free(tmp_path: Path) -> None:
    group = "sys/fs/cgroup/box/job/"
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/box/job",
            f"{group}memory.max": "max",
            f"{group}memory.current": "5",
            "sys/fs/cgroup/box/memory.max": "1000000",
            "sys/fs/cgroup/box/memory.current": "700000",
            "sys/fs/cgroup/box/memory.stat": "anon 1\ninactive_file 200000",
            "sys/fs/cgroup/box/cpu.max": "25000 100000",
            f"{group}cpu.max": "max 100000",
        },
    )
    assert this_machine(root) == Machine(0.25, 1_000_000, 500_000)


def test_limits_of_version_1(tmp_path: Path) -> None:
    memory, cpu = "sys/fs/cgroup/memory/docker/1/", "sys/fs/cgroup/cpu/"
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/docker/1\n1:cpu,cpuacct:/docker/1\n0::/",
            f"{memory}memory.limit_in_bytes": "2000000",
            f"{memory}memory.usage_in_bytes": "500000",
            f"{memory}memory.stat": "total_inactive_file 100000",
            # In a container the folder may be missing; the top folder counts then.
            f"{cpu}cpu.cfs_quota_us": "50000",
            f"{cpu}cpu.cfs_period_us": "100000",
        },
    )
    assert this_machine(root) == Machine(0.5, 2_000_000, 1_600_000)


def test_a_control_group_over_its_limit_has_no_memory_available(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/",
            "sys/fs/cgroup/memory.max": "1000",
            "sys/fs/cgroup/memory.current": "1200",
        },
    )
    assert this_machine(root).available == 0


# Cores.


@pytest.mark.parametrize(("workers", "share"), [(1, 0.6), (2, 0.6), (4, 0.35), (8, 0.175)])
def test_summarizers_share_the_remaining_cores(workers: int, share: float) -> None:
    sizes = resolve_workers(stages(workers), 2.0)
    assert sizes.summarize.num_cpus == pytest.approx(share)
    assert 0.1 + workers * share + 0.3 + 0.2 <= 2.0 + 1e-9


@pytest.mark.parametrize(("cpus", "workers"), [(1, 1), (2, 2), (4, 4), (16, 16)])
def test_null_workers_become_one_per_core(cpus: int, workers: int) -> None:
    assert resolve_workers(stages(None), cpus).summarize.workers == workers


def test_a_given_share_of_a_core_stays(tmp_path: Path) -> None:
    assert resolve_workers(stages(4, 0.1), 2.0).summarize.num_cpus == 0.1


def test_a_graph_that_does_not_fit_the_cores_is_refused_with_numbers() -> None:
    message = r"reserves 2\.7 CPUs \(listing 0\.1, stages\.summarize 2\.1, .* and Ray has 2;"
    with pytest.raises(SetupError, match=message):
        resolve_workers(stages(3, 0.7), 2.0)
    with pytest.raises(SetupError, match=r"stages\.write 3"):
        check_cores(replace(stages(1, 0.1), write=WriteOptions(1, 3.0)), 2.0)


# Memory.


def test_a_run_that_does_not_fit_memory_is_refused_with_numbers_and_fixes() -> None:
    with pytest.raises(SetupError) as caught:
        check_resources(stages(9), RayOptions(), 50, NODE, SMALL)
    message = str(caught.value)
    # 1,000 for Ray, 256 its store, 180 an embedder, 330 a writer, 9 x 420, 1,100 the node.
    assert "needs 6,646 MB" in message
    assert f"has {4 * GIB // MB:,} MB" in message
    assert "9 x 420 for stages.summarize.workers=9" in message
    assert "1,100 for the local OpenSearch" in message
    assert "fewer stages.summarize.workers" in message
    assert "stages.check_memory=false" in message


def test_check_memory_false_runs_anyway() -> None:
    sizes = check_resources(replace(stages(9), check_memory=False), RayOptions(), 50, NODE, SMALL)
    assert sizes.summarize.workers == 9


def test_too_little_free_memory_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    busy = replace(SMALL, available=GIB)
    with caplog.at_level(logging.WARNING, logger="raypipe"):
        check_resources(stages(2), RayOptions(), 50, NODE, busy)
    # The node is already running: its memory is not counted again.
    assert len(caplog.messages) == 1
    assert "needs 2,606 MB" in caplog.messages[0]
    assert "only 1,073 MB of 4,294 MB are free" in caplog.messages[0]


def test_enough_memory_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="raypipe"):
        check_resources(stages(2), RayOptions(), 50, NODE, SMALL)
    assert caplog.messages == []


def test_a_remote_opensearch_takes_no_memory_here() -> None:
    check_resources(stages(5), RayOptions(), 50, "https://search.example:9200", SMALL)
    with pytest.raises(SetupError, match="for the local OpenSearch"):
        check_resources(stages(5), RayOptions(), 50, NODE, SMALL)


def test_a_million_keys_need_memory_too() -> None:
    with pytest.raises(SetupError, match="needs 2,836 MB"):
        check_resources(
            stages(1), RayOptions(dashboard=False), 1_050_000, "", replace(SMALL, memory=28 * 10**8)
        )


def test_null_workers_are_bounded_by_memory() -> None:
    wide = Machine(16.0, 6 * GIB, 6 * GIB)
    sizes = check_resources(stages(None), RayOptions(), 500, NODE, wide)
    assert sizes.summarize.workers == 8  # (6,442 - 2,866) / 420 MB
    assert sizes.summarize.num_cpus is None  # decided by Ray's own count of cores


def test_a_cluster_is_not_checked_against_this_machine() -> None:
    sizes = check_resources(stages(90), RayOptions(address="auto"), 50, NODE, SMALL)
    assert sizes == stages(90)


# Preset.


@pytest.mark.parametrize(
    ("preset", "books", "hint"),
    [
        ("small", 50_000, "scale=very_large suits 50,000 books; scale=small is for up to 100"),
        ("small", 101, "scale=medium suits 101 books; scale=small is for up to 100"),
        ("small", 100, ""),
        ("very_large", 10_000_000, ""),
        ("large", 5, ""),
        ("", 50_000, ""),
        ("my_own", 50_000, ""),
    ],
)
def test_a_small_preset_suggests_a_larger_one(preset: str, books: int, hint: str) -> None:
    assert suggest_scale(preset, books) == hint


def test_the_hint_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="raypipe"):
        check_resources(replace(stages(), preset="small"), RayOptions(), 5_000, "", SMALL)
    assert caplog.messages == ["scale=large suits 5,000 books; scale=small is for up to 100"]


def test_a_small_run_is_told_that_it_needs_no_ray(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="raypipe"):
        check_resources(replace(stages(), preset="small"), RayOptions(), 50, "", SMALL)
        check_resources(replace(stages(), preset="medium"), RayOptions(), 50, "", SMALL)
    assert caplog.messages == [LOCAL_HINT]


# The place of the embedder.


def test_a_light_embedder_runs_in_the_summarizers_processes() -> None:
    sizes = Stages()
    assert place_embedding(sizes, HashEmbedder()).embed.workers == 0
    assert place_embedding(sizes, HeavyEmbedder()).embed.workers == 1
    on_gpu = replace(sizes, embed=EmbedOptions(num_gpus=1.0))
    assert place_embedding(on_gpu, HashEmbedder()).embed.workers == 1
    given = replace(sizes, embed=EmbedOptions(2))
    assert place_embedding(given, HashEmbedder()).embed.workers == 2


class HeavyEmbedder(HashEmbedder):
    """An embedder whose model fills a process."""

    @property
    def is_light(self) -> bool:
        return False


# Summarizers that wait for models.


def test_a_waiting_summarizer_takes_a_tenth_of_a_core_and_one_book_per_task() -> None:
    sizes = set_calls_per_worker(resolve_workers(size_for_models(stages(2), 64), 2.0), 64)
    pool = sizes.summarize
    assert (pool.num_cpus, pool.books_per_task, pool.calls_per_worker) == (0.1, 1, 48)


def test_a_computing_summarizer_keeps_its_sizes() -> None:
    plain = resolve_workers(stages(2), 2.0)
    sizes = set_calls_per_worker(resolve_workers(size_for_models(stages(2), 0), 2.0), 0)
    assert sizes.summarize == replace(plain.summarize, calls_per_worker=1)


def test_given_sizes_stay() -> None:
    own = replace(stages(2), summarize=SummarizeOptions(2, 0.3, calls_per_worker=7))
    sizes = set_calls_per_worker(resolve_workers(size_for_models(own, 64), 2.0), 64)
    assert (sizes.summarize.num_cpus, sizes.summarize.calls_per_worker) == (0.3, 7)


def test_a_worker_holds_no_more_books_than_its_memory_allows() -> None:
    assert set_calls_per_worker(stages(1), 1_000).summarize.calls_per_worker == 64 + 16
    assert set_calls_per_worker(stages(4), 2).summarize.calls_per_worker == 2
