"""The bulk writer against opensearch-py's `parallel_bulk`, on a real node of its own.

    python tests/benchmarks/bench_parallel_bulk.py [--documents 20000] [--rounds 5] [--url URL]

The same documents, with vectors of 256 and of 1,024 dimensions, into an index as raypipe makes it,
uncompressed on both sides. `parallel_bulk` gets the fastest of some settings (threads, documents a
request), tried first on a fifth of the documents; raypipe has its defaults. Both begin with the
same objects: the dictionaries that `parallel_bulk` takes are made within its time, by the function
that raypipe uses. `parallel_bulk` is measured with
its own serializer and with one of orjson, as raypipe has it. The ways take turns, each into a new
index; figures are medians of the ratios of each round, of seconds and of this process's CPU. Its
default serializer takes part in the first round only: it is far slower. With one writer, one
bulk is in flight; the node's own time is the sum of what its answers say they took. The node is
warmed up first, lives in a temporary folder and ends with the benchmark. The last line is one JSON
object.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from bench_bulk import documents, in_bulk, node  # noqa: E402
from report import Report, say  # noqa: E402

from raypipe.core.book import Document  # noqa: E402
from raypipe.opensearch.bulk.parallel import WRITERS  # noqa: E402
from raypipe.opensearch.connection.client import Connection  # noqa: E402
from raypipe.opensearch.index import Index, IndexAlias, IndexConfig, IndexSpec  # noqa: E402
from raypipe.opensearch.index.encoding import document_body  # noqa: E402

DIMENSIONS = (256, 1024)
SETTINGS = [(threads, docs) for threads in (2, 4) for docs in (500, 1000)]
TASKS = 2  # write tasks of a run, by default
VECTORS = 2_000  # different ones; more take memory and change nothing
REACH_WALL = 1.0
REACH_TOOK = 1.05
REACH_CPU_OWN = 1 / 3
REACH_CPU_ORJSON = 1.0

Way = Callable[[Index], float]
"""Loads an index; returns the seconds that the node says it took, or 0 where it is not asked."""


@dataclass
class Load:
    """One kind of documents, and what loading them took in each way."""

    alias: IndexAlias
    dimension: int
    docs: list[Document]
    seconds: dict[str, list[float]] = field(default_factory=dict)
    cpu: dict[str, list[float]] = field(default_factory=dict)
    took: dict[str, list[float]] = field(default_factory=dict)

    @property
    def contents(self) -> IndexSpec:
        """Return what the index holds."""
        return IndexSpec(self.dimension, {"dimension": self.dimension}, "bench", "bench")

    def raypipe(self, writers: int) -> Way:
        """Return raypipe's way."""
        return lambda index: in_bulk(index, self.docs, writers).took_ms / 1000

    def parallel_bulk(self, orjson: bool, threads: int, docs: int) -> Way:
        """Return opensearch-py's way."""
        from opensearchpy import OpenSearch
        from opensearchpy.helpers import parallel_bulk

        parts = urlsplit(self.alias.config.connection.endpoint)
        more = {"serializer": _orjson()} if orjson else {}
        client = OpenSearch(
            [{"host": parts.hostname, "port": parts.port}],
            pool_maxsize=threads,
            timeout=60,
            **more,
        )

        def load(index: Index) -> float:
            for ok, item in parallel_bulk(
                client,
                self._actions(index),
                thread_count=threads,
                queue_size=threads,
                chunk_size=docs,
                max_chunk_bytes=self.alias.config.max_bytes,
            ):
                assert ok, item
            return 0.0

        return load

    def _actions(self, index: Index) -> Iterator[dict[str, Any]]:
        for one in self.docs:
            yield {
                "_op_type": "index",
                "_index": index.ref.physical,
                "_id": one.book_id,
                "version": 1,
                "version_type": "external_gte",
                "_source": document_body(one, self.dimension),
            }

    def measure(self, name: str, way: Way) -> float:
        """Load a new index in one way; returns the seconds."""
        index = self.alias.purge(self.contents)
        began, cpu = time.perf_counter(), time.process_time()
        took = way(index)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        index.refresh()
        assert index.count() == len(self.docs), "not every document is there"
        self.seconds.setdefault(name, []).append(seconds)
        self.cpu.setdefault(name, []).append(cpu)
        self.took.setdefault(name, []).append(took)
        say(f"  {name}: {seconds:.2f} s, {cpu:.2f} s of CPU, the node {took:.2f} s")
        return seconds

    def part(self, share: int) -> Load:
        """Return a load of one in so many of the documents."""
        return Load(self.alias, self.dimension, self.docs[::share])


def made(alias: IndexAlias, dimension: int, number: int) -> Load:
    """Return documents with vectors of this length."""
    vectors = np.random.default_rng(dimension).normal(size=(VECTORS, dimension)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    tuples = [tuple(one.tolist()) for one in vectors]
    docs = [
        dataclasses.replace(one, summary_vector=tuples[row % VECTORS])
        for row, one in enumerate(documents(number, seed=20))
    ]
    return Load(alias, dimension, docs)


def _orjson() -> Any:
    """Return a serializer that writes and reads by orjson, arrays as they are."""
    import orjson
    from opensearchpy.serializer import JSONSerializer

    class Orjson(JSONSerializer):
        def dumps(self, data: Any) -> Any:
            if isinstance(data, str):
                return data
            return orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY).decode()

        def loads(self, s: str) -> Any:
            return orjson.loads(s)

    return Orjson()


def compare(load: Load, rounds: int) -> tuple[int, int]:
    """Let all ways take turns; returns the settings of `parallel_bulk`."""
    trial = load.part(5)
    # The node's own compiler is at work for the first 20,000 documents.
    load.part(1).measure("warm-up", load.raypipe(TASKS * WRITERS))
    best = min(
        SETTINGS,
        key=lambda one: trial.measure(f"try {one}", trial.parallel_bulk(True, *one)),
    )
    ways: list[tuple[str, Way]] = [
        ("raypipe", load.raypipe(TASKS * WRITERS)),
        ("orjson", load.parallel_bulk(True, *best)),
        ("alone", load.raypipe(1)),
    ]
    load.measure("own", load.parallel_bulk(False, *best))
    for turn in range(rounds):
        for name, way in ways if turn % 2 == 0 else reversed(ways):
            load.measure(name, way)
    return best


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--url", help="a node that runs already")
    options = parser.parse_args()
    report = Report("parallel_bulk")
    report.note("documents", options.documents)
    with node(options.url) as url:
        alias = IndexAlias(IndexConfig(Connection(url), index="bench-parallel-bulk"))
        for dimension in DIMENSIONS:
            say(f"{dimension} dimensions")
            load = made(alias, dimension, options.documents)
            best = compare(load, options.rounds)
            figures(report, load, best)
        alias.config.connection.ask("DELETE", f"/{alias.config.index}-*", ignore=(404,))
    report.finish()


def figures(report: Report, load: Load, best: tuple[int, int]) -> None:
    """Record the figures of one kind of documents."""
    name = f"{load.dimension}d"
    wall = {way: statistics.median(each) for way, each in load.seconds.items()}
    cpu = {way: statistics.median(each) for way, each in load.cpu.items()}
    report.note(f"{name}_settings", f"{best[0]} threads, {best[1]} documents a request")
    for way in wall:
        report.note(f"{name}_{way}_documents_per_s", len(load.docs) / wall[way])
        report.note(f"{name}_{way}_cpu_s", cpu[way])
    # orjson is what makes `parallel_bulk` fastest; its own serializer takes part once.
    assert wall["orjson"] <= wall["own"], wall
    ratio = _median_ratio(load.seconds["raypipe"], load.seconds["orjson"])
    report.at_most(f"{name}_wall_ratio", ratio, REACH_WALL)
    took = _median_ratio(load.seconds["alone"], load.took["alone"])
    report.at_most(f"{name}_wall_to_took", took, REACH_TOOK)
    report.at_most(f"{name}_cpu_ratio_own", cpu["raypipe"] / cpu["own"], REACH_CPU_OWN)
    ratio = _median_ratio(load.cpu["raypipe"], load.cpu["orjson"])
    report.at_most(f"{name}_cpu_ratio_orjson", ratio, REACH_CPU_ORJSON)


def _median_ratio(ours: list[float], theirs: list[float]) -> float:
    """Return the median of the ratios of each round."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


if __name__ == "__main__":
    main()
