"""Another user of the machine gets nothing from the Ray of a run without the run's token."""

from __future__ import annotations

import http.client
import json
import os
import re
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.integration.raypipe_command import Project, wait_for, write_book

JOIN = """
import sys, ray
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
print("joined", ray.get(ray.remote(num_cpus=0)(lambda: 6 * 7).remote()))
"""
OTHER = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}
# Otherwise Ray replaces 127.0.0.1 by the address of the network, and it would try for a minute.
SAME_MACHINE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_NUM_REDIS_GET_RETRIES": "1"}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    project = Project(tmp_path, "no index", executor="ray")
    yield project
    project.kill_processes()


def ask(url: str, token: str = "", body: bytes | None = None) -> tuple[int, bytes]:
    """Return status and body of a request; 0 if nothing answers in HTTP."""
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        request = urllib.request.Request(url, data=body, headers=headers)
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except (OSError, http.client.HTTPException):
        return 0, b""


def join(address: str, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Join Ray in another process with these variables, and run a task."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = [sys.executable, "-c", JOIN, address]
    return subprocess.run(
        command,
        env={**env, **SAME_MACHINE, **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )


def listening(processes: list[psutil.Process]) -> dict[int, str]:
    """Return the ports on which processes listen, with the name of the process."""
    ports = {}
    for process in processes:
        for connection in process.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                assert connection.laddr.ip.removeprefix("::ffff:") == "127.0.0.1"
                ports[connection.laddr.port] = process.name()
    return ports


def gcs_port(processes: list[psutil.Process]) -> int:
    (server,) = (process for process in processes if process.name() == "gcs_server")
    (port,) = listening([server])
    return port


def test_another_user_needs_the_token(project: Project) -> None:
    write_book(project.books, "A_Book")
    project.journal.hold("summarize", 0)
    process = project.start("run", *project.run_options("opensearch=none", "ray.dashboard=true"))
    wait_for(lambda: project.journal.count_waiting("summarize") or process.poll() is not None)
    assert process.poll() is None, project.stderr()
    found = re.search(
        r"dashboard is at (\S+) and asks for the token in (\S+)$", project.stderr(), re.MULTILINE
    )
    assert found
    url, file = found[1], Path(found[2])
    token = file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700

    job = json.dumps({"entrypoint": "echo hello"}).encode()
    for path, body in (("/api/jobs/", job), ("/api/jobs/", None), ("/nodes?view=summary", None)):
        assert ask(url + path, body=body)[0] == 401
        assert ask(url + path, "0" * 64, body)[0] == 403
        # 500: the agent that starts jobs has not registered yet.
        assert ask(url + path, token, body)[0] in ((200, 500) if body else (200,))

    processes = project.processes()
    for port, name in listening(processes).items():
        for path in ("/metrics", "/api/jobs/", "/api/job_agent/jobs/", "/get_runtime_envs_info"):
            answer = ask(f"http://127.0.0.1:{port}{path}", body=b"{}" if "get" in path else None)
            assert answer[0] in (0, 401), (name, port, path, answer)

    address = f"127.0.0.1:{gcs_port(processes)}"
    for variables in ({"RAY_AUTH_MODE": "disabled"}, OTHER):
        assert "joined" not in join(address, variables).stdout
    mine = join(address, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(file)})
    assert mine.stdout == "joined 42\n", mine.stderr

    for running in project.processes():
        with suppress(psutil.NoSuchProcess):
            assert token not in " ".join(running.cmdline())
    project.journal.release("summarize")
    project.wait_for_exit(process, 0)
    assert not file.parent.exists()
    assert not (project.folder / "home" / ".ray").exists()
    written = [path for path in project.folder.rglob("*") if path.is_file()]
    assert [path for path in written if token.encode() in path.read_bytes()] == []
