"""Ray of a local run listens on the loopback interface only: it asks for no token there."""

from __future__ import annotations

import psutil


def test_ray_listens_on_loopback_only(shared_ray: None, opensearch_url: str) -> None:
    import ray

    assert ray.get(ray.remote(lambda: 1).options(num_cpus=0.1).remote()) == 1
    me = psutil.Process()
    listening = {
        (process.name(), connection.laddr.ip.removeprefix("::ffff:"))
        for process in (me, *me.children(recursive=True))
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert {"gcs_server", "raylet"} <= {name for name, _ in listening}
    assert {address for _, address in listening} == {"127.0.0.1"}
