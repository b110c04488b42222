"""A Ray head node, started by `ray start` as a user does, with token authentication."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sysconfig
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.integration.raypipe_command import MARK, ROOT, Project, wait_for
from tests.integration.s3_server import CountingS3Server

AWS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
"""moto accepts any credentials, but no write without credentials."""
BOOKS = 6
"""Number of books that `on_s3` puts into a bucket."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@dataclass
class Head:
    """A cluster of one node with token authentication."""

    folder: Path
    cpus: int = 2
    token: str = field(default_factory=lambda: uuid.uuid4().hex * 2)
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    port: int = field(default_factory=free_port)
    dashboard: int = field(default_factory=free_port)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def env(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        path = f"{sysconfig.get_path('scripts')}:/usr/bin:/bin"
        changed = {"HOME": str(self.folder), "PATH": path, MARK: self.mark, "PYTHONPATH": str(ROOT)}
        return {**kept, **changed, **AWS, "RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}

    def start(self, more: Mapping[str, object], env: Mapping[str, str]) -> None:
        (self.folder / ".ray").mkdir()
        (self.folder / ".ray" / "auth_token").write_text(self.token)
        options = {
            "port": self.port,
            "dashboard-port": self.dashboard,
            "ray-client-server-port": free_port(),
            # The default port may belong to another Ray of this machine: no job could be submitted.
            "dashboard-agent-listen-port": free_port(),
            "temp-dir": self.folder / "ray",
            "node-ip-address": "127.0.0.1",
            "num-cpus": self.cpus,
            "object-store-memory": 100 * 1024 * 1024,
            **more,
        }
        args = [f"--{name}={value}" for name, value in options.items()]
        command = ["ray", "start", "--head", "--disable-usage-stats", *args]
        log = (self.folder / "start.log").open("w")
        # Submitted jobs start in this folder and write their log there.
        subprocess.run(
            command,
            cwd=self.folder,
            env={**self.env(), **env},
            check=True,
            stdout=log,
            stderr=log,
        )

    def processes(self) -> list[psutil.Process]:
        """Return the living processes; some agents of Ray overwrite their environment."""
        processes: dict[int, psutil.Process] = {}
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(MARK) == self.mark:
                    family = [process, *process.children(recursive=True)]
                    processes.update({each.pid: each for each in family})
        return [process for process in processes.values() if _is_alive(process)]


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


@contextmanager
def ray_head(
    cpus: int = 2, more: Mapping[str, object] | None = None, env: Mapping[str, str] | None = None
) -> Iterator[Head]:
    """Yield a head node; afterwards kill its processes and those of its nodes.

    Args:
        cpus: Number of CPUs of the node.
        more: Further options of `ray start` with their values.
        env: Environment variables of the node.
    """
    head = Head(Path(tempfile.mkdtemp(prefix="ray-head-")), cpus)
    try:
        head.start(more or {}, env or {})
        yield head
    finally:
        killed = head.processes()
        for process in killed:
            with contextlib.suppress(psutil.Error):
                process.send_signal(signal.SIGKILL)
        wait_for(lambda: not any(map(_is_alive, killed)) and not head.processes())
        shutil.rmtree(head.folder, ignore_errors=True)


def on_s3(project: Project, s3: CountingS3Server) -> list[str]:
    """Put books into a bucket; return the options of a run with its state there and no index."""
    s3.create_bucket(project.index)
    for number in range(BOOKS):
        s3.put_object(
            project.index, f"books/Tale_{number}.txt", b"The tale begins. It ends here. " * 20
        )
    return [
        *s3.options(project.index),
        "storage.anonymous=false",
        "storage.prefix=books/",
        f"state.uri=s3://{project.index}/state",
        "summarizer=lead",
        "embedder=hash",
        "opensearch=none",
        "output=json",
        "ray=cluster",
    ]


def keep_token(project: Project, token: str) -> None:
    """Write a cluster's token where `raypipe` looks for it."""
    folder = project.folder / "home" / ".ray"
    folder.mkdir(parents=True)
    (folder / "auth_token").write_text(token)
