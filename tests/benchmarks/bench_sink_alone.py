"""The datasink alone in a Ray Dataset against `parallel_bulk` in `map_batches`.

    python tests/benchmarks/bench_sink_alone.py [--documents 20000] [--rounds 3] [--url …]

The same materialized dataset (ids, a title, a text of about 280 words, vectors with 256 dimensions)
goes into new indices with the same mapping, on a real node of its own and a local Ray with 2 cores.
`parallel_bulk` has opensearch-py's serializer, a client that each worker keeps, batches of 1,000
rows as numpy arrays, and the fastest of some settings, tried first on a fifth of the documents.
The ways take turns; figures are ratios of medians. Seconds are those of the whole write, as the
driver sees it. Client CPU is that of all worker processes of Ray, user and system, from the start
to the end of a write: neither the node, nor raylet and GCS, nor the driver. It is read from /proc
every 50 ms, so that a process that ends is counted, too. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import psutil
import pyarrow as pa

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["PYTHONPATH"] = os.pathsep.join(sys.path[:2])  # for the workers

from bench_bulk import documents, node  # noqa: E402
from report import Report, say  # noqa: E402

from raypipe.opensearch.connection.client import Connection  # noqa: E402
from raypipe.opensearch.rows.outcome import SinkResult  # noqa: E402

DIMENSION = 256
INDEX = "bench-sink-alone"
BLOCKS = 10
BATCH = 1_000
CORES = 2
SETTINGS = [(threads, docs) for threads in (2, 4) for docs in (500, 1_000)]
REACH_WALL = 1.0
REACH_CPU = 0.5
MAPPING = {
    "settings": {"index": {"knn": True, "number_of_shards": 1, "number_of_replicas": 0}},
    "mappings": {
        "properties": {
            "id": {"type": "keyword"},
            "title": {"type": "text"},
            "text": {"type": "text", "analyzer": "english"},
            "embedding": {
                "type": "knn_vector",
                "dimension": DIMENSION,
                "method": {"name": "hnsw", "engine": "lucene", "space_type": "cosinesimil"},
            },
        }
    },
}

Way = Callable[[Any], None]


class WorkerCpu:
    """Count the CPU seconds of Ray's worker processes in a `with` block."""

    def __enter__(self) -> WorkerCpu:
        """Begin to count."""
        self._over = threading.Event()
        self._last = self._read()
        self._first = dict(self._last)
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop counting."""
        self._over.set()
        self._thread.join()
        self._last |= self._read()
        used = (cpu - self._first.get(key, 0.0) for key, cpu in self._last.items())
        self.seconds = sum(used)

    def _sample(self) -> None:
        while not self._over.wait(0.05):
            self._last |= self._read()

    def _read(self) -> dict[tuple[int, float], float]:
        """Return the CPU seconds of each worker by process id and start."""
        found = {}
        for process in psutil.Process().children(recursive=True):
            try:
                command = " ".join(process.cmdline())
                if command.startswith("ray::") or "default_worker.py" in command:
                    times = process.cpu_times()
                    found[process.pid, process.create_time()] = times.user + times.system
            except psutil.Error:
                continue
        return found


def table_of(number: int) -> pa.Table:
    """Return the documents as a table."""
    docs = documents(number, seed=15)
    vectors = np.array([each.summary_vector for each in docs], dtype=np.float32)
    flat = pa.array(vectors.ravel())
    return pa.table(
        {
            "id": [each.book_id for each in docs],
            "title": [each.title for each in docs],
            "text": [each.summary for each in docs],
            "embedding": pa.FixedSizeListArray.from_arrays(flat, DIMENSION),
        }
    )


def by_sink(url: str) -> Way:
    """Return raypipe's way, with its defaults."""
    from raypipe.opensearch.datasink import OpenSearchDatasink

    def write(dataset: Any) -> None:
        sink = OpenSearchDatasink(url, INDEX, id_column="id", vector_column="embedding")
        dataset.write_datasink(sink)
        result: SinkResult | None = sink.result
        assert result is not None, "the write failed"
        say(f"    {result}")

    return write


@lru_cache
def client_of(url: str, threads: int) -> Any:
    """Return a client, one in a process."""
    from opensearchpy import OpenSearch

    parts = urlsplit(url)
    hosts = [{"host": parts.hostname, "port": parts.port}]
    return OpenSearch(hosts, pool_maxsize=threads, timeout=60)


def by_parallel_bulk(url: str, threads: int, docs: int) -> Way:
    """Return opensearch-py's way."""

    def send(batch: dict[str, Any]) -> dict[str, Any]:
        from bench_sink_alone import client_of
        from opensearchpy.helpers import parallel_bulk

        names = list(batch)
        columns = [
            np.stack(values).tolist() if name == "embedding" else values.tolist()
            for name, values in batch.items()
        ]
        actions = (
            {"_op_type": "index", "_index": INDEX, "_id": row[0]}
            | dict(zip(names, row, strict=True))
            for row in zip(*columns, strict=True)
        )
        sent = parallel_bulk(
            client_of(url, threads),
            actions,
            thread_count=threads,
            queue_size=threads,
            chunk_size=docs,
            max_chunk_bytes=8 << 20,
        )
        return {"written": np.array([sum(ok for ok, _ in sent)])}

    def write(dataset: Any) -> None:
        dataset.map_batches(send, batch_size=BATCH).materialize()

    return write


def measure(url: str, dataset: Any, name: str, way: Way) -> tuple[float, float]:
    """Write the dataset into a new index; return seconds and CPU seconds of the workers."""
    server = Connection(url)
    server.ask("DELETE", f"/{INDEX}", ignore=(404,))
    server.ask("PUT", f"/{INDEX}", body=MAPPING)
    began = time.perf_counter()
    with WorkerCpu() as cpu:
        way(dataset)
        seconds = time.perf_counter() - began
    server.ask("POST", f"/{INDEX}/_refresh")
    found = server.ask("GET", f"/{INDEX}/_count")["count"]
    assert found == dataset.count(), "not every document is there"
    say(f"  {name}: {seconds:.2f} s, {cpu.seconds:.2f} s of CPU")
    return seconds, cpu.seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--url", help="a node that runs already")
    options = parser.parse_args()
    report = Report("sink_alone")
    report.note("documents", options.documents)
    import ray

    ray.init(
        address="local",
        num_cpus=CORES,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
    )
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    table = table_of(options.documents)
    dataset = ray.data.from_arrow(table).repartition(BLOCKS).materialize()
    part = ray.data.from_arrow(table.slice(0, options.documents // 5)).repartition(2).materialize()
    with node(options.url) as url:
        sink = by_sink(url)
        # The node's own compiler is at work for the first 20,000 documents.
        measure(url, dataset, "warm-up", sink)
        best = min(
            SETTINGS,
            key=lambda one: measure(url, part, f"try {one}", by_parallel_bulk(url, *one))[0],
        )
        ways = {"sink": sink, "parallel_bulk": by_parallel_bulk(url, *best)}
        figures: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for turn in range(options.rounds):
            for name in list(ways) if turn % 2 == 0 else reversed(list(ways)):
                figures[name].append(measure(url, dataset, name, ways[name]))
        Connection(url).ask("DELETE", f"/{INDEX}", ignore=(404,))
    ray.shutdown()
    report.note("parallel_bulk_settings", f"{best[0]} threads, {best[1]} documents a request")
    wall = {name: statistics.median(each[0] for each in all_) for name, all_ in figures.items()}
    cpu = {name: statistics.median(each[1] for each in all_) for name, all_ in figures.items()}
    for name in ways:
        report.note(f"{name}_documents_per_s", options.documents / wall[name])
        report.note(f"{name}_cpu_s", cpu[name])
    report.at_most("wall_ratio", wall["sink"] / wall["parallel_bulk"], REACH_WALL)
    report.at_most("cpu_ratio", cpu["sink"] / cpu["parallel_bulk"], REACH_CPU)
    report.finish()


if __name__ == "__main__":
    main()
