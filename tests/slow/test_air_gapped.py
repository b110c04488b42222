"""The defaults need no network: a run connects to loopback addresses only.

A hook of Python's audit events refuses every other connection and name in each Python process of
the run, Ray's workers included, and writes it down. `PYTHONPATH` gives the hook to the processes.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.integration.raypipe_command import ROOT, run_python

HOOK = """
import ipaddress, os, socket, sys

def write(name, line):
    with open(os.path.join(os.environ["RAYPIPE_TEST_NOTES"], name), "a") as file:
        file.write(f"{line}\\n")

LOCAL = ("localhost", socket.gethostname(), "", None)

def is_local(host):
    if host in LOCAL:
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False

def refuse(event, args):
    if event == "socket.getaddrinfo":
        host = args[0]
    elif event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = args[1]
        if not isinstance(address, tuple):  # a path of a Unix socket
            return
        host = address[0]
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host
    if not is_local(host):
        write("refused.txt", f"{event} {host}")
        raise OSError(101, f"Network is unreachable: {host}")

write("processes.txt", " ".join(sys.orig_argv))
sys.addaudithook(refuse)
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return the environment of commands whose processes reach loopback addresses only."""
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(HOOK)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return {
        **kept,
        "PYTHONPATH": f"{hook}{os.pathsep}{ROOT}",
        "RAYPIPE_TEST_NOTES": str(tmp_path),
    }


def read_notes(environment: dict[str, str], name: str) -> list[str]:
    """Return what the hook wrote down: `processes.txt`, or what it refused, `refused.txt`."""
    path = Path(environment["RAYPIPE_TEST_NOTES"]) / name
    return path.read_text().splitlines() if path.exists() else []


def test_the_hook_refuses_and_writes_down(environment: dict[str, str], empty: Path) -> None:
    code = (
        "import socket\n"
        "for address in ('192.0.2.1', 'search.example.org'):\n"
        "    try: socket.create_connection((address, 9200), timeout=5)\n"
        "    except OSError as error: print(error)\n"
    )
    printed = run_python("-c", code, cwd=empty, environment=environment)
    assert printed.count("Network is unreachable") == 2
    assert read_notes(environment, "refused.txt") == [
        "socket.getaddrinfo 192.0.2.1",
        "socket.getaddrinfo search.example.org",
    ]


@pytest.mark.parametrize("executor", ["local", "ray"])
def test_a_run_with_the_defaults_connects_to_this_machine_only(
    executor: str, environment: dict[str, str], empty: Path
) -> None:
    options = [f"executor={executor}", "limit=2", "output=json", "examples=[]"]
    command = ("-m", "raypipe", "run", *options)
    printed = run_python(*command, cwd=empty, environment=environment, timeout_s=400)
    assert '"indexed": 2' in printed
    assert read_notes(environment, "refused.txt") == []
    processes = read_notes(environment, "processes.txt")
    assert any("-m raypipe run" in line for line in processes)
    assert any("default_worker.py" in line for line in processes) == (executor == "ray")
