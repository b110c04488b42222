"""Ray of a local run: it listens on the loopback interface only, and its ports ask for a token."""

from __future__ import annotations

import http.client
import stat
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest


@pytest.fixture
def ports(shared_ray: None) -> dict[int, tuple[str, str]]:
    """Return the ports on which Ray listens, with the name of the process and the address."""
    import ray

    assert ray.get(ray.remote(lambda: 1).options(num_cpus=0.1).remote()) == 1
    me = psutil.Process()
    return {
        connection.laddr.port: (process.name(), connection.laddr.ip.removeprefix("::ffff:"))
        for process in (me, *me.children(recursive=True))
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }


def test_ray_listens_on_loopback_only(
    opensearch_url: str, ports: dict[int, tuple[str, str]]
) -> None:
    assert {"gcs_server", "raylet"} <= {name for name, _ in ports.values()}
    assert {address for _, address in ports.values()} == {"127.0.0.1"}


def grpc_methods() -> list[str]:
    """Return the methods of Ray's servers; the object manager's are not described in Python."""
    from ray.core.generated import core_worker_pb2, gcs_service_pb2, node_manager_pb2, reporter_pb2

    modules = (core_worker_pb2, gcs_service_pb2, node_manager_pb2, reporter_pb2)
    return [
        *(f"/ray.rpc.ObjectManagerService/{name}" for name in ("Push", "Pull", "FreeObjects")),
        *(
            f"/{service.full_name}/{method.name}"
            for module in modules
            for service in module.DESCRIPTOR.services_by_name.values()
            for method in service.methods
        ),
    ]


def call_all(port: int) -> set[str]:
    """Return the statuses with which the methods answer calls without a token."""
    import grpc  # type: ignore[import-untyped, unused-ignore]

    codes = set()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        for method in grpc_methods():
            call = channel.unary_unary(method)
            try:
                call(b"", timeout=30)
                codes.add("OK")
            except grpc.RpcError as error:
                codes.add(error.code().name)
    return codes


def http_status(port: int) -> int:
    """Return the status of a request without a token; 0 if the port is not for HTTP."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/logs", timeout=30) as response:
            status: int = response.status
            return status
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, http.client.HTTPException):
        return 0


def test_no_port_answers_without_the_token(ports: dict[int, tuple[str, str]]) -> None:
    own = psutil.Process().name()  # other tests start HTTP servers in this process
    for port, (name, _) in ports.items():
        status = http_status(port)
        if status == 0:
            assert call_all(port) == {"UNAUTHENTICATED", "UNIMPLEMENTED"}, name
        elif name.startswith("ray"):
            assert status == 401, name
        else:
            assert name in (own, "java")


def test_other_users_cannot_enter_the_session(shared_ray: None) -> None:
    import ray

    node = ray._private.worker.global_worker.node
    assert node is not None
    folder = Path(node.get_session_dir_path()).parent.parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "token").stat().st_mode) == 0o600
