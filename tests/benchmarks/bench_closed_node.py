"""Bulk requests to the embedded node, which answers its own user alone, against the open node.

    python tests/benchmarks/bench_closed_node.py [--documents 1000] [--rounds 12]

The open node is that of commit 3c73c8f, on 127.0.0.1 and without the check of the connection's
user. Both nodes run at the same time and take turns; each round writes the same documents into a
new index. The figure is the ratio of the medians. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from before import PRESENT, Checkout, check_out
from bench_bulk import CONTENTS, documents, in_bulk
from report import Report, say

from raypipe.core.book import Document
from raypipe.opensearch.connection.client import Connection
from raypipe.opensearch.index import IndexAlias, IndexConfig

REACH = 1.05
WARM_UPS = 4
WRITERS = 2
NODE = """
import sys
from pathlib import Path
from raypipe.embedded.services import Services
with Services(Path(sys.argv[1])) as services:
    print(services.{start}(), flush=True)
    sys.stdin.read()
"""
START, START_BEFORE = "start_opensearch", "opensearch"


@contextmanager
def node(checkout: Checkout, start: str) -> Iterator[IndexAlias]:
    """Start the node of a checkout by this method, and stop it afterwards."""
    with tempfile.TemporaryDirectory(prefix="raypipe-bench-") as folder:
        process = subprocess.Popen(
            [str(checkout.python), "-c", NODE.format(start=start), folder],
            env=checkout.environment(),
            cwd=folder,  # Python would import raypipe from here first
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout
        try:
            url = process.stdout.readline().strip()
            say(f"{checkout.root.name}: {url}")
            yield IndexAlias(IndexConfig(Connection(url), index="bench-closed"))
        finally:
            process.communicate()


def write(alias: IndexAlias, docs: list[Document]) -> float:
    """Return the seconds of bulk requests into a new index."""
    index = alias.purge(CONTENTS)
    began = time.perf_counter()
    in_bulk(index, docs, WRITERS)
    return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=12)
    options = parser.parse_args()
    report = Report("closed_node")
    docs = documents(options.documents, seed=16)
    seconds: dict[str, list[float]] = {"open": [], "closed": []}
    with ExitStack() as stack:
        nodes = {
            "open": stack.enter_context(node(check_out(), START_BEFORE)),
            "closed": stack.enter_context(node(PRESENT, START)),
        }
        say("warming both up")
        for alias in nodes.values():
            for _ in range(WARM_UPS):
                write(alias, docs)
        for turn in range(options.rounds):
            for name in sorted(nodes, reverse=turn % 2 == 0):
                seconds[name].append(write(nodes[name], docs))
            say(f"  open {seconds['open'][-1]:.2f} s, closed {seconds['closed'][-1]:.2f} s")
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    report.note("open_s", medians["open"])
    report.note("closed_s", medians["closed"])
    report.at_most("bulk_time_against_open", medians["closed"] / medians["open"], REACH, "×")
    report.finish()


if __name__ == "__main__":
    main()
