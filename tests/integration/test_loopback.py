"""What a local run starts listens on this machine alone: Ray asks nobody for a token there."""

from __future__ import annotations

import psutil
import pytest

from tests.integration.raypipe_command import shared_ray

__all__ = ["shared_ray"]

pytestmark = pytest.mark.integration


def test_ray_listens_on_loopback_alone(shared_ray: None, opensearch_url: str) -> None:
    import ray

    assert ray.get(ray.remote(lambda: 1).options(num_cpus=0.1).remote()) == 1
    me = psutil.Process()
    listening = {
        (process.name(), place.laddr.ip.removeprefix("::ffff:"))
        for process in (me, *me.children(recursive=True))
        for place in process.net_connections("inet")
        if place.status == psutil.CONN_LISTEN
    }
    assert {"gcs_server", "raylet"} <= {name for name, _ in listening}
    assert {place for _, place in listening} == {"127.0.0.1"}
