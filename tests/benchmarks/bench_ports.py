"""Which ports of a run give something to another user of the machine, or to a web page.

    python tests/benchmarks/bench_ports.py [--executors local,ray]

While `raypipe run` works on the sample books, each port that it or its services listen on gets
requests of another user, and requests as a browser sends them for a page of another site. Root is
needed to become another user.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from processes import Watched, environment
from report import Report, say

NOBODY = 65534
FOREIGN = "attacker.example"
DELETE = "POST /_all/_delete_by_query?q=*"
READS = ("GET /", "GET /_cat/indices", "GET /api/jobs/", "GET /metrics")
GRPC_METHODS = (
    "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo",
    "/ray.rpc.InternalKVGcsService/InternalKVKeys",
    "/ray.rpc.NodeManagerService/GetSystemConfig",
    "/ray.rpc.CoreWorkerService/GetCoreWorkerStats",
)
"""Calls that need no argument; a server that wants a token refuses them."""
AS_ANOTHER_USER = "--as-another-user"


@dataclass(frozen=True)
class Port:
    """A port that a process of the run listens on."""

    host: str
    number: int
    process: str = field(default="", compare=False)  # Ray renames its workers at every task

    @property
    def is_guessable(self) -> bool:
        """Whether a web page can name the address: all but 16 million random addresses."""
        return self.host in ("127.0.0.1", "::1", "0.0.0.0", "::")


def main() -> None:
    """Run the samples with each executor, and probe each port once."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--executors", default="local,ray")
    parser.add_argument(AS_ANOTHER_USER, action="store_true", help="probe the ports on stdin")
    options = parser.parse_args()
    if options.as_another_user:
        probe_from_stdin()
        return
    report = Report("ports")
    for executor in options.executors.split(","):
        with tempfile.TemporaryDirectory(prefix="raypipe-bench-") as folder:
            ports = probe_run(Path(folder), executor)
        report.note(f"{executor}_ports", len(ports))
        for way in ("user", "page"):
            is_open = [port for port, answers in ports.items() if answers[way]]
            report.at_most(f"{executor}_open_to_another_{way}", len(is_open), 0, "ports")
    report.finish()


def probe_from_stdin() -> None:
    """Become another user; for each line with a host and a port print what they give."""
    import grpc  # noqa: F401 - another user may not be able to read the package

    "x".encode("idna")
    os.setuid(NOBODY)
    for line in sys.stdin:
        host, number = line.split()
        print(probe_as_user(Port(host, int(number))), flush=True)


def probe_run(folder: Path, executor: str) -> dict[Port, dict[str, str]]:
    """Run the samples; return what each port gave another user and a page, '' for nothing."""
    command = [sys.executable, "-m", "raypipe", "run", f"executor={executor}", "scale=small"]
    other = subprocess.Popen(
        [sys.executable, __file__, AS_ANOTHER_USER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdin is not None
    assert other.stdout is not None
    ports: dict[Port, dict[str, str]] = {}
    run = Watched(command, folder, environment())
    while run.process.poll() is None:
        for port in find_ports(run.alive()) - set(ports):
            print(port.host, port.number, file=other.stdin, flush=True)
            ports[port] = {"user": other.stdout.readline().strip(), "page": probe_as_page(port)}
            say(f"{executor}: {port.process} {port.host}:{port.number} gives {ports[port]}")
        time.sleep(0.2)
    run.wait()
    other.communicate()
    return ports


def find_ports(processes: list[psutil.Process]) -> set[Port]:
    """Return the TCP ports that these processes listen on now."""
    ports = set()
    for process in processes:
        try:
            for connection in process.net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN:
                    host = connection.laddr.ip.removeprefix("::ffff:")
                    ports.add(Port(host, connection.laddr.port, process.name()))
        except psutil.Error:
            continue  # it has ended
    return ports


def probe_as_user(port: Port) -> str:
    """Return what a process of another user can do at a port; '' for nothing."""
    import grpc

    address = f"{port.host}:{port.number}"
    given = [line for line in READS if is_success(ask(port, line, f"Host: {address}"))]
    with grpc.insecure_channel(address) as channel:
        for method in GRPC_METHODS:
            with contextlib.suppress(grpc.RpcError):
                channel.unary_unary(method)(b"", timeout=5)
                given.append(method)
    return ", ".join(given)


def probe_as_page(port: Port) -> str:
    """Return what a page of another site can do at a port that it can name; '' for nothing."""
    if not port.is_guessable:
        return ""
    rebound = f"Host: {FOREIGN}:{port.number}"
    given = [line for line in READS if is_success(ask(port, line, rebound))]
    own = f"Host: {port.host}:{port.number}"
    if is_success(ask(port, DELETE, own, f"Origin: http://{FOREIGN}", "Content-Length: 0")):
        given.append(DELETE)
    return ", ".join(given)


def ask(port: Port, line: str, *headers: str) -> bytes:
    """Send a request; return the beginning of the answer."""
    head = "\r\n".join([f"{line} HTTP/1.1", *headers, "Connection: close", "", ""])
    try:
        with socket.create_connection((port.host, port.number), timeout=5) as connection:
            connection.sendall(head.encode())
            return connection.recv(4096)
    except OSError:
        return b""


def is_success(answer: bytes) -> bool:
    """Whether an HTTP server carried a request out; a page without data is no success."""
    is_page = b"text/html" in answer.lower()
    return answer.startswith(b"HTTP/") and answer.split(b" ")[1][:1] == b"2" and not is_page


if __name__ == "__main__":
    main()
