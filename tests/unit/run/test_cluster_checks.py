"""Cluster checks: growth, GPUs, and services that other nodes cannot reach."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from raypipe.core.errors import OptionError, SetupError
from raypipe.core.options import RayOptions
from raypipe.run.executors.cluster_checks import (
    available_cpus,
    check_gpus,
    check_reachable,
    check_shared_options,
    max_launcher_cpus,
)

LAUNCHER_CONFIG = """
max_workers: 10
head_node_type: head
available_node_types:
  head: {resources: {CPU: 0}, max_workers: 0}
  small: {resources: {CPU: 2}, max_workers: 8}
  large: {resources: {CPU: 16, memory: 5}, max_workers: 4}
"""


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Return the answers that Ray gives: at first a head without CPUs and no autoscaler."""
    from ray._private.state import state

    answers = SimpleNamespace(resources={}, autoscaler=None, hosts=["head"])
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(ray, "cluster_resources", lambda: answers.resources)
    monkeypatch.setattr(state, "get_max_resources_from_cluster_config", lambda: answers.autoscaler)
    monkeypatch.setattr(
        ray,
        "nodes",
        lambda: [{"NodeManagerHostname": host, "Alive": True} for host in answers.hosts],
    )
    return answers


def test_a_launched_cluster_grows_to_its_maximum_of_workers() -> None:
    assert max_launcher_cpus(LAUNCHER_CONFIG) == 4 * 16 + 6 * 2, "ten workers, large ones first"
    with_head = LAUNCHER_CONFIG.replace("CPU: 0", "CPU: 4")
    assert max_launcher_cpus(with_head) == 4 * 16 + 6 * 2 + 4
    assert max_launcher_cpus("cluster_name: bare") == 0


def test_available_cpus_include_nodes_to_come(cluster: Any, tmp_path: Path) -> None:
    joined = RayOptions(address="auto")
    assert available_cpus(joined) == 0
    (tmp_path / "ray_bootstrap_config.yaml").write_text(LAUNCHER_CONFIG)
    assert available_cpus(joined) == 76
    cluster.autoscaler = {"CPU": 40, "GPU": 1}  # Ray itself knows the maximum, as on Kubernetes
    assert available_cpus(joined) == 40
    assert available_cpus(RayOptions(address="auto", num_cpus=12)) == 12, "the option wins"
    cluster.resources = {"CPU": 64.0}
    assert available_cpus(joined) == 64
    assert available_cpus(RayOptions(num_cpus=2)) == 64, "a local Ray does not grow"


def test_a_run_does_not_wait_for_gpus_that_never_come(
    cluster: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    local, joined = RayOptions(), RayOptions(address="auto")
    cluster.resources = {"CPU": 4.0, "GPU": 1.0}
    check_gpus(2, 0.5, local)
    check_gpus(2, 0.0, local)
    for options in (local, joined):
        with pytest.raises(SetupError, match=r"reserves 2 GPUs and Ray has 1; lower"):
            check_gpus(2, 1.0, options)
    (tmp_path / "ray_bootstrap_config.yaml").write_text(LAUNCHER_CONFIG)
    check_gpus(2, 1.0, joined)
    assert "the run waits until nodes with more GPUs join" in caplog.text


def test_loopback_addresses_serve_a_cluster_of_one_machine_only(
    cluster: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    locations = {"opensearch.endpoint": "http://127.0.0.1:9200"}
    cluster.hosts = ["head", "head"]
    check_reachable(locations)
    cluster.hosts = ["head", "worker"]
    with pytest.raises(SetupError, match=r"opensearch.endpoint=http://127.0.0.1:9200 .* 2 mach"):
        check_reachable(locations)
    with pytest.raises(SetupError, match=r"storage\.endpoint_url"):
        check_reachable({"storage.endpoint_url": "http://localhost:5000"})
    with caplog.at_level(logging.WARNING):
        check_reachable({"storage.path": "/books", "opensearch.endpoint": "https://os.org"})
    assert "storage.path=/books must be the same folder" in caplog.text
    cluster.hosts = ["head"]
    (tmp_path / "ray_bootstrap_config.yaml").write_text(LAUNCHER_CONFIG)
    with pytest.raises(SetupError):  # workers will join on other machines
        check_reachable(locations)


def test_options_for_this_machine_alone_are_refused_by_name() -> None:
    check_shared_options("local", "folder/state", ["opensearch.endpoint"])
    check_shared_options("auto", "s3://bucket/state", [])
    with pytest.raises(OptionError, match=r"state.uri=folder/state .*s3://bucket/prefix"):
        check_shared_options("auto", "folder/state", [])
    with pytest.raises(OptionError, match=r"opensearch.endpoint=embedded .* opensearch=none"):
        check_shared_options("10.0.0.7:6379", "s3://bucket/state", ["opensearch.endpoint"])
