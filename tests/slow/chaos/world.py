"""One node, one S3, one proxy and one Ray cluster of two nodes for all jobs of the chaos tests."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from raypipe.embedded.services import Services
from tests.integration.s3_server import CountingS3Server
from tests.slow.chaos.proxy import Proxy, Trouble
from tests.slow.two_node_cluster import TwoNodes, two_nodes

BUCKET = "chaos"
STATES = "chaos-states"
BOOK_S = 0.03
UNWELL = 0.05
"""Share of requests that the S3 server answers 503 while it is unwell."""


@dataclass
class World:
    """What all jobs share.

    Args:
        home: Folder of the node.
        s3: The server of the books, and of the state of jobs on the cluster.
        proxy: What stands between raypipe and the node.
        stack: Ends all of it.
        books: How many there are.
        graph_s: Seconds in which a run works on all the books; `Job.measure` learns it.
    """

    home: Path
    s3: CountingS3Server
    proxy: Proxy
    stack: ExitStack
    books: int
    graph_s: float = 0.0
    _nodes: TwoNodes | None = None

    def start_node(self) -> None:
        """Start the node on its data, wherever there is a port."""
        services = self.stack.enter_context(Services(self.home / "node"))
        self.proxy.target = services.start_opensearch()

    def kill_node(self) -> None:
        """Kill the node as the kernel would."""
        [node] = [
            one
            for one in psutil.process_iter(["cmdline"])
            if str(self.home / "node") in " ".join(one.info["cmdline"] or ())
            and "java" in Path((one.info["cmdline"] or [""])[0]).name
        ]
        node.kill()
        with contextlib.suppress(psutil.NoSuchProcess):
            node.wait(30)

    def cluster(self) -> TwoNodes:
        """Return the cluster, started for the first job that wants it."""
        if self._nodes is None:
            self._nodes = self.stack.enter_context(two_nodes())
        return self._nodes

    def trouble_proxy(self) -> None:
        """Let answers of the node come late, cut off or not at all, until all is calm again."""
        self.proxy.trouble = Trouble(delay=0.05, drop=0.02, cut=0.02)

    def trouble_s3(self) -> None:
        """Let the S3 server refuse some requests, until all is calm again."""
        self.s3.failure_rate = UNWELL

    def calm(self) -> None:
        """End what troubles the proxy and S3."""
        self.proxy.trouble = Trouble()
        self.s3.failure_rate = 0.0

    def kill_raylet(self) -> None:
        """Kill the second node with all that works there; another one joins a moment later."""
        self.cluster().remove_second()
        time.sleep(1)
        self.cluster().add_second()


@contextmanager
def world(home: Path, s3: CountingS3Server, books: int, chance: random.Random) -> Iterator[World]:
    """Yield a world with a node that runs and so many books in a bucket."""
    s3.create_bucket(BUCKET)
    s3.create_bucket(STATES)
    for number in range(books):
        s3.put_object(BUCKET, f"Book_{number:04d}__by__Author_{number}.txt", text(number).encode())
    with ExitStack() as stack:
        proxy = stack.enter_context(Proxy("", chance))
        made = World(home, s3, proxy, stack, books, graph_s=books * BOOK_S)
        made.start_node()
        yield made


def text(number: int) -> str:
    """Return a book of some 240 words that are its own."""
    return " ".join(f"Sentence {i} of book {number} tells of a lamp and ends." for i in range(20))
