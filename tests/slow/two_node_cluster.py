"""A Ray cluster of two nodes on this machine, in a separate process; `python -m` runs it.

The process prints the cluster's address. When it reads `remove` or `add` it removes the second node
or adds a new one, and it ends with its input. A Ray in the process of the test session is not
affected.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.slow.ray_head import AWS

ROOT = Path(__file__).parents[2]
CPUS = 4


@dataclass
class TwoNodes:
    """A running cluster of two nodes."""

    process: subprocess.Popen[str]
    address: str
    node_ids: tuple[str, str]

    def remove_second(self) -> None:
        """Kill the node that is not the head and wait for its end."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("remove\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "removed\n"

    def add_second(self) -> None:
        """Start a node in place of the removed node."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("add\n")
        self.process.stdin.flush()
        self.node_ids = (self.node_ids[0], self.process.stdout.readline().strip())

    def workers(self) -> list[psutil.Process]:
        """Return the worker processes of all drivers."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [process for process in children if _is_worker(process)]


@contextmanager
def two_nodes() -> Iterator[TwoNodes]:
    """Yield a running cluster; afterwards remove its processes and files."""
    folder = tempfile.mkdtemp(prefix="ray-two-")  # short, because it contains sockets
    env = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"}
    env |= {"RAY_AUTH_MODE": "disabled", "TOKENIZERS_PARALLELISM": "false", **AWS}
    # Ray's Cluster writes its address to the folder in which a user's Ray looks for it, and that
    # folder is missing where Ray never ran: use the folder that is removed afterwards.
    env["RAY_TMPDIR"] = folder
    env.pop("RAY_ADDRESS", None)
    command = [sys.executable, "-m", "tests.slow.two_node_cluster"]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=env,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        address, *ids = process.stdout.readline().split()
        yield TwoNodes(process, address, (ids[0], ids[1]))
    finally:
        process.communicate()  # closes its input
        shutil.rmtree(folder, ignore_errors=True)


def _is_worker(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return "ray::" in process.name() or "ray::" in " ".join(process.cmdline())
    return False


def main() -> None:
    """Run a cluster until the input ends."""
    from ray.cluster_utils import Cluster

    output = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # Ray prints to stdout, too
    node: dict[str, Any] = {"num_cpus": CPUS, "object_store_memory": 100 * 1024 * 1024}
    head = {**node, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, connect=False, head_node_args=head)
    first, second = cluster.head_node, cluster.add_node(**node)
    assert first is not None
    print(cluster.address, first.node_id, second.node_id, file=output)
    for line in sys.stdin:
        if line.strip() == "add":
            second = cluster.add_node(**node)
            print(second.node_id, file=output)
        else:
            cluster.remove_node(second, allow_graceful=False)
            print("removed", file=output)
    cluster.shutdown()


if __name__ == "__main__":
    main()
