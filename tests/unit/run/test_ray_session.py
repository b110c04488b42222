"""Joining a cluster: what it can grow to, and what its nodes cannot reach."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from raypipe.core.errors import OptionError, SetupError
from raypipe.core.options import RayOptions
from raypipe.run.executors import ray_session as cluster

LAUNCHED = """
max_workers: 10
head_node_type: head
available_node_types:
  head: {resources: {CPU: 0}, max_workers: 0}
  small: {resources: {CPU: 2}, max_workers: 8}
  large: {resources: {CPU: 16, memory: 5}, max_workers: 4}
"""


def test_a_launched_cluster_grows_to_its_most_workers() -> None:
    assert cluster.most_cpus(LAUNCHED) == 4 * 16 + 6 * 2, "ten workers, the large ones first"
    assert cluster.most_cpus(LAUNCHED.replace("CPU: 0", "CPU: 4")) == 4 * 16 + 6 * 2 + 4
    assert cluster.most_cpus("cluster_name: bare") == 0


@pytest.fixture
def ray_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Return what Ray is to say, a head without CPUs and no autoscaler at first."""
    from ray._private.state import state

    said = SimpleNamespace(now={}, config=None, hosts=["head"])
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(ray, "cluster_resources", lambda: said.now)
    monkeypatch.setattr(state, "get_max_resources_from_cluster_config", lambda: said.config)
    monkeypatch.setattr(
        ray, "nodes", lambda: [{"NodeManagerHostname": one, "Alive": True} for one in said.hosts]
    )
    return said


def test_the_cpus_are_those_to_come(ray_says: Any, tmp_path: Path) -> None:
    joined = RayOptions(address="auto")
    assert cluster._cpus(joined) == 0
    (tmp_path / "ray_bootstrap_config.yaml").write_text(LAUNCHED)
    assert cluster._cpus(joined) == 76
    ray_says.config = {"CPU": 40, "GPU": 1}  # where Ray itself knows, as on Kubernetes
    assert cluster._cpus(joined) == 40
    assert cluster._cpus(RayOptions(address="auto", num_cpus=12)) == 12, "a person knows best"
    ray_says.now = {"CPU": 64.0}
    assert cluster._cpus(joined) == 64
    assert cluster._cpus(RayOptions(num_cpus=2)) == 64, "a local Ray does not grow"


def test_gpus_that_never_come_are_not_waited_for(
    ray_says: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    here, joined = RayOptions(), RayOptions(address="auto")
    ray_says.now = {"CPU": 4.0, "GPU": 1.0}
    cluster.check_gpus(2, 0.5, here)
    cluster.check_gpus(2, 0.0, here)
    for options in (here, joined):
        with pytest.raises(SetupError, match=r"reserves 2 GPUs and Ray has 1; lower"):
            cluster.check_gpus(2, 1.0, options)
    (tmp_path / "ray_bootstrap_config.yaml").write_text(LAUNCHED)
    cluster.check_gpus(2, 1.0, joined)
    assert "waits until nodes with more come" in caplog.text


def test_loopback_serves_a_cluster_of_one_machine_alone(
    ray_says: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    places = {"opensearch.endpoint": "http://127.0.0.1:9200"}
    ray_says.hosts = ["head", "head"]
    cluster.check_reach(places)
    ray_says.hosts = ["head", "worker"]
    with pytest.raises(SetupError, match=r"opensearch.endpoint=http://127.0.0.1:9200 .* 2 mach"):
        cluster.check_reach(places)
    with pytest.raises(SetupError, match=r"storage\.endpoint_url"):
        cluster.check_reach({"storage.endpoint_url": "http://localhost:5000"})
    with caplog.at_level(logging.WARNING):
        cluster.check_reach({"storage.path": "/books", "opensearch.endpoint": "https://os.org"})
    assert "storage.path=/books must be the same folder" in caplog.text
    ray_says.hosts = ["head"]
    (tmp_path / "ray_bootstrap_config.yaml").write_text(LAUNCHED)
    with pytest.raises(SetupError):  # workers will come
        cluster.check_reach(places)


def test_what_this_machine_alone_has_is_refused_by_name() -> None:
    cluster.check_places("local", "folder/state", ["opensearch.endpoint"])
    cluster.check_places("auto", "s3://bucket/state", [])
    with pytest.raises(OptionError, match=r"state.uri=folder/state .*s3://bucket/prefix"):
        cluster.check_places("auto", "folder/state", [])
    with pytest.raises(OptionError, match=r"opensearch.endpoint=embedded .* opensearch=none"):
        cluster.check_places("10.0.0.7:6379", "s3://bucket/state", ["opensearch.endpoint"])


@pytest.mark.parametrize(
    ("raised", "told"),
    [
        (Exception("The current node timed out during startup.\nMore."), SetupError),
        (RuntimeError("no room"), SetupError),
        (KeyError("a fault of ours"), KeyError),
    ],
)
def test_a_ray_that_does_not_start_is_one_line(
    monkeypatch: pytest.MonkeyPatch, raised: Exception, told: type[Exception]
) -> None:
    def init(**_: Any) -> None:
        raise raised

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(told) as caught, cluster.ray_session(RayOptions()):
        pass
    if told is SetupError:
        first = str(raised).splitlines()[0]
        assert str(caught.value) == f"Ray at ray.address=local did not start: {first}"
