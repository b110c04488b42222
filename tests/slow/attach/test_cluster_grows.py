"""A cluster whose head has no CPUs and that has no worker yet, as cluster.yaml makes it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from raypipe.embedded.ports import LOOPBACK
from tests.integration.raypipe_command import Project, check_balance
from tests.integration.s3_server import CountingS3Server
from tests.slow.ray_head import BOOKS, Head, free_port, keep_token, on_s3, ray_head

WORKERS, CORES = 2, 2


@pytest.fixture
def head(tmp_path: Path) -> Iterator[Head]:
    """Start a head whose autoscaler starts nodes on this machine: Ray's own provider for tests."""
    head_id = "f" * 56
    port = free_port()
    steps = ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray")
    config = {
        "cluster_name": "grows",
        "max_workers": WORKERS,
        "provider": {
            # Ray's provider for tests, by its class: a file of its own name is not in the wheel.
            "type": "external",
            "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
            "head_node_id": head_id,
            "gcs_address": f"{LOOPBACK}:{port}",
            "launch_multiple": True,
            # Nobody logs in anywhere: the nodes are processes here.
            "disable_node_updaters": True,
        },
        "head_node_type": "ray.head.default",
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "worker": {
                "resources": {"CPU": CORES},
                "node_config": {},
                "min_workers": 0,
                "max_workers": WORKERS,
            },
        },
        **{name: {} for name in ("docker", "auth", "file_mounts")},
        **{f"{name}_commands": [] for name in (*steps, "worker_start_ray")},
        "cluster_synced_files": [],
        "idle_timeout_minutes": 5,
        "upscaling_speed": 1,
    }
    path = tmp_path / "autoscaling.json"
    path.write_text(json.dumps(config))
    env = {
        "RAY_FAKE_CLUSTER": "1",
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_enable_autoscaler_v2": "1",  # as `ray up` sets it
        "RAY_CLOUD_INSTANCE_ID": head_id,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": head_id,
    }
    options = {"port": port, "autoscaling-config": path, "include-dashboard": "false"}
    with ray_head(cpus=0, more=options, env=env) as made:
        made.port = port
        yield made


def test_a_run_on_a_head_alone_makes_workers_come(
    project: Project, s3: CountingS3Server, head: Head
) -> None:
    keep_token(project, head.token)
    args = [*on_s3(project, s3), f"ray.address={head.address}"]
    record = json.loads(project.command("run", *args, f"ray.num_cpus={WORKERS * CORES}"))
    check_balance(record)
    assert record["finished"] == BOOKS
    assert f"can grow to {WORKERS * CORES}" in project.stderr()
