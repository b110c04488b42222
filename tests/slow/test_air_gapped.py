"""The defaults need no network: a run connects to loopback addresses only.

A hook of Python's audit events refuses every other connection and name in each Python process of
the run, Ray's workers included, and writes it down. `PYTHONPATH` gives the hook to the processes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.raypipe_command import ROOT

HOOK = """
import ipaddress, os, socket, sys

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
        with open(os.environ["RAYPIPE_TEST_REFUSED"], "a") as file:
            file.write(f"{event} {args[1:] if event != 'socket.getaddrinfo' else args}\\n")
        raise OSError(101, f"Network is unreachable: {host}")

sys.addaudithook(refuse)
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return the environment of commands whose processes reach loopback addresses only."""
    hook = tmp_path / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(HOOK)
    refused = {"RAYPIPE_TEST_REFUSED": str(tmp_path / "refused.txt")}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return {**kept, **refused, "PYTHONPATH": f"{hook}{os.pathsep}{ROOT}"}


def call(*args: str, cwd: Path, environment: dict[str, str]) -> str:
    """Run a Python process and return its output."""
    done = subprocess.run(
        [sys.executable, *args],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def read_refused(environment: dict[str, str]) -> str:
    """Return what the hook refused; empty if nothing was tried."""
    path = Path(environment["RAYPIPE_TEST_REFUSED"])
    return path.read_text() if path.exists() else ""


def test_the_hook_refuses_and_writes_down(environment: dict[str, str], empty: Path) -> None:
    code = (
        "import socket\n"
        "for address in ('192.0.2.1', 'search.example.org'):\n"
        "    try: socket.create_connection((address, 9200), timeout=5)\n"
        "    except OSError as error: print(error)\n"
    )
    printed = call("-c", code, cwd=empty, environment=environment)
    assert printed.count("Network is unreachable") == 2
    assert len(read_refused(environment).splitlines()) == 2


@pytest.mark.parametrize("executor", ["local", "ray"])
def test_a_run_with_the_defaults_connects_to_this_machine_only(
    executor: str, environment: dict[str, str], empty: Path
) -> None:
    options = [f"executor={executor}", "limit=2", "output=json", "examples=[]"]
    printed = call("-m", "raypipe", "run", *options, cwd=empty, environment=environment)
    assert '"indexed": 2' in printed
    assert read_refused(environment) == ""
