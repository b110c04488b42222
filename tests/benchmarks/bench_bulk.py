"""The bulk writer compared with one request for each document, on a real node.

    python tests/benchmarks/bench_bulk.py [--documents 4000] [--rounds 5] [--writers 4] [--url URL]

Both ways send the same bodies over kept-alive connections through the same client, into an
index as raypipe makes it; no request asks for a refresh; serializing is in both times. Both have
the same number of requests in flight, as many as a run has by default. Rounds take turns, each
into a new index; a figure is the ratio of the medians. Documents are like real ones: a summary of
about 280 words and 100 keywords, drawn from a vocabulary as skewed as English. The node is warmed
up first, lives in a temporary folder and ends with the benchmark. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orjson

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from report import Report, say  # noqa: E402

from raypipe.core.book import Document, book_id  # noqa: E402
from raypipe.embedded.services import Services  # noqa: E402
from raypipe.opensearch.bulk.results import Counters  # noqa: E402
from raypipe.opensearch.connection.client import Connection  # noqa: E402
from raypipe.opensearch.index import (  # noqa: E402
    Index,
    IndexAlias,
    IndexConfig,
    IndexSpec,
    encoding,
)
from raypipe.opensearch.index.encoding import document_body  # noqa: E402
from raypipe.opensearch.index.mapping import VECTOR  # noqa: E402

DIMENSION = 256
CONTENTS = IndexSpec(DIMENSION, {"model": "bench", "dimension": DIMENSION}, "bench", "bench")
REACH = {"text": 0.04, "vectors": 0.12}
REACH_REQUESTS = 0.002
WARM_UP = 300

Body = Callable[..., dict[str, Any]]


def documents(number: int, seed: int) -> list[Document]:
    """Return documents like those of real books."""
    rng = random.Random(seed)
    letters = "etaoinshrdlucmfwypvbgk"
    words = ["".join(rng.choices(letters, k=rng.randint(2, 11))) for _ in range(20_000)]
    weights = [1.0 / rank for rank in range(1, len(words) + 1)]
    vectors = np.random.default_rng(seed).normal(size=(number, DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    made = []
    for row in range(number):
        text = rng.choices(words, weights, k=280)
        sentences = [" ".join(text[i : i + 20]).capitalize() + "." for i in range(0, 280, 20)]
        made.append(_document(row, " ".join(sentences), rng.sample(words, 100), vectors[row]))
    return made


def _document(row: int, summary: str, keywords: list[str], vector: Any) -> Document:
    key = f"shelf/{row:06d}.txt"
    digest = book_id("s3://bench", key)
    return Document(
        book_id=digest,
        key=key,
        etag=digest[:32],
        source="s3://bench",
        size=400_000,
        modified=1.7e9 + row,
        title=" ".join(keywords[:4]).title(),
        author=" ".join(keywords[4:6]).title(),
        language="en",
        words=70_000,
        encoding="utf-8",
        flags=("gutenberg",),
        text_sha256=digest,
        text_recipe="0" * 16,
        summary_recipe="1" * 16,
        document_recipe="2" * 16,
        summarizer="extractive",
        embedder="wordllama",
        summary=summary,
        keywords=tuple(keywords),
        model_calls=0,
        input_tokens=0,
        output_tokens=0,
        run_seq=1,
        finished_at=1.75e9,
        node_id="bench",
        summary_vector=tuple(vector.tolist()),
    )


def text_only(document: Document, dimension: int, *, clean: bool = True) -> dict[str, Any]:
    """Return the body without its vector."""
    body = document_body(document, dimension, clean=clean)
    del body[VECTOR]
    return body


def one_by_one(index: Index, docs: list[Document], body: Body, writers: int) -> None:
    """Index each document with a separate request, a share of them in each thread."""

    def share(number: int) -> None:
        for document in docs[number::writers]:
            data = orjson.dumps(body(document, DIMENSION), option=orjson.OPT_SERIALIZE_NUMPY)
            path = f"/{index.ref.physical}/_doc/{document.book_id}"
            index.connection.send("PUT", path, body=data)

    with ThreadPoolExecutor(writers) as pool:
        list(pool.map(share, range(writers)))


def in_bulk(index: Index, docs: list[Document], writers: int) -> Counters:
    """Index the documents as raypipe does, each writer its share of them."""

    def share(number: int) -> Counters:
        writer = index.bulk_writer(1)
        for _ in writer.write(docs[number::writers]):
            pass
        return writer.counters

    with ThreadPoolExecutor(writers) as pool:
        return sum(pool.map(share, range(writers)), Counters())


def compare(
    alias: IndexAlias, docs: list[Document], body: Body, rounds: int, writers: int
) -> dict[str, Any]:
    """Take turns, and return seconds of each way and the bulk counters of the last round."""
    encoding.document_body = body  # what the writer sends; the same as the other way does
    times: dict[str, list[float]] = {"single": [], "bulk": []}
    counters = Counters()
    try:
        for turn in range(rounds):
            for way in ("single", "bulk") if turn % 2 == 0 else ("bulk", "single"):
                index = alias.purge(CONTENTS)
                began = time.perf_counter()
                if way == "single":
                    one_by_one(index, docs, body, writers)
                else:
                    counters = in_bulk(index, docs, writers)
                times[way].append(time.perf_counter() - began)
                index.refresh()
                assert index.count() == len(docs), "not every document is there"
            single, bulk = times["single"][-1], times["bulk"][-1]
            say(f"  round {turn + 1}: {single:.2f} s single, {bulk:.2f} s bulk")
    finally:
        encoding.document_body = document_body
    return {"times": times, "counters": counters}


@contextmanager
def node(url: str | None) -> Iterator[str]:
    """Yield the URL of a node: the given one, or one of our own that ends with us."""
    if url:
        yield url
        return
    with (
        tempfile.TemporaryDirectory(prefix="raypipe-bench-") as folder,
        Services(Path(folder)) as services,
    ):
        yield services.start_opensearch()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--url", help="a node that runs already")
    options = parser.parse_args()
    report = Report("bulk")
    docs = documents(options.documents, seed=20)
    report.note("documents", len(docs))
    report.note("writers", options.writers)
    with node(options.url) as url:
        alias = IndexAlias(IndexConfig(Connection(url), index="bench-bulk"))
        say("warming the node up")
        for _ in range(3):
            one_by_one(alias.purge(CONTENTS), docs[:WARM_UP], document_body, options.writers)
            in_bulk(alias.purge(CONTENTS), docs, options.writers)
        for name, body in (("text", text_only), ("vectors", document_body)):
            say(f"{name}: {options.rounds} rounds")
            measure(
                report, name, compare(alias, docs, body, options.rounds, options.writers), len(docs)
            )
        alias.config.connection.ask("DELETE", f"/{alias.config.index}-*", ignore=(404,))
    report.finish()


def measure(report: Report, name: str, found: dict[str, Any], number: int) -> None:
    """Record the figures of one kind of document."""
    single, bulk = (statistics.median(found["times"][way]) for way in ("single", "bulk"))
    counters = found["counters"]
    report.note(f"{name}_seconds_single", single)
    report.note(f"{name}_seconds_bulk", bulk)
    report.note(f"{name}_seconds_single_each", [round(one, 3) for one in found["times"]["single"]])
    report.note(f"{name}_seconds_bulk_each", [round(one, 3) for one in found["times"]["bulk"]])
    report.note(f"{name}_node_took_s", counters.took_ms / 1000)
    report.note(f"{name}_bytes", counters.bytes_sent)
    report.at_most(f"{name}_time_ratio", bulk / single, REACH[name])
    report.at_most(f"{name}_requests_ratio", counters.requests / number, REACH_REQUESTS)


if __name__ == "__main__":
    main()
