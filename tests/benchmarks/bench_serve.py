"""What the page of `raypipe serve` costs beside the search itself, and whether all can use it.

    python tests/benchmarks/bench_serve.py [--books 20000] [--searches 400]

Invented books are indexed in a real node. `raypipe serve`'s app answers searches, with and without
filters, on a real socket; a client sends them one after another, and four at once. The time of the
search request to OpenSearch is taken inside the server and subtracted from the time of the page.
Headless Chromium, if it is installed, opens each kind of page and runs axe, in light, dark and
narrow; without it the number of violations is -1, which is a miss. The last line is one JSON
object.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
from bench_bulk import node
from report import ROOT, Report, say

sys.path.insert(0, str(ROOT))  # for the driver of Chromium and the documents of the tests

INDEX = "bench-serve"
REACH_MS = 30.0
_WORDS = """
harbor lamp winter orchard countess train letter island keeper storm garden widow river mountain
watch pearl clock village doctor mirror violin desert forest bridge captain
"""
WORDS = _WORDS.split()
LANGUAGES = ("en", "en", "en", "fr", "de")
LOOKS = ((1100, False), (1100, True), (360, False))


class Timer:
    """The time of the last search request to OpenSearch, by thread of the server."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def install(self) -> None:
        """Measure each request for hits from now on."""
        from raypipe.opensearch.connection.client import Connection

        ask = Connection.ask

        def timed(connection: Connection, method: str, path: str, **options: Any) -> Any:
            began = time.perf_counter()
            try:
                return ask(connection, method, path, **options)
            finally:
                if path == "/_msearch":
                    self.seconds.append(time.perf_counter() - began)

        Connection.ask = timed  # type: ignore[method-assign]


def main() -> None:
    """Index the books, time the pages, and look for violations."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--books", type=int, default=20_000)
    parser.add_argument("--searches", type=int, default=400)
    options = parser.parse_args()
    report, timer = Report("serve"), Timer()
    with tempfile.TemporaryDirectory(prefix="raypipe-bench-") as name, node(None) as endpoint:
        folder = Path(name)
        index_books(endpoint, options.books, folder)
        timer.install()
        with serve_page(endpoint, folder) as url:
            addresses = list(make_addresses(url, options.searches))
            for address in addresses[:20]:
                read(address)  # models, templates and connections are loaded
            timer.seconds.clear()
            pages = [timed_read(address) for address in addresses]
            beside = [
                (page - search) * 1e3 for page, search in zip(pages, timer.seconds, strict=True)
            ]
            report.at_most("page_beside_search_p95", p(beside, 95), REACH_MS, "ms")
            report.note("page_beside_search_p50_ms", p(beside, 50))
            report.note("search_request_p95_ms", p(timer.seconds, 95) * 1e3)
            report.note("page_p95_ms", p(pages, 95) * 1e3)
            with ThreadPoolExecutor(4) as threads:
                busy = list(threads.map(timed_read, addresses))
            report.note("page_p95_ms_four_at_once", p(busy, 95) * 1e3)
            for kind in ("", "runs", "failures", "api/filters"):
                times = [timed_read(f"{url}/{kind}") for _ in range(50)]
                report.note(f"/{kind}: p95_ms", p(times, 95) * 1e3)
            report.at_most("axe_violations", *count_violations(url, folder))
    report.note("books", options.books)
    report.finish()


def p(values: Sequence[float], percent: float) -> float:
    """Return a percentile."""
    return float(np.percentile(values, percent))


def index_books(endpoint: str, count: int, folder: Path) -> None:
    """Write invented documents into an index, and a state with a run and a failure."""
    from raypipe.embedders.wordllama import WordLlamaEmbedder
    from raypipe.ledger.facade import Ledger
    from raypipe.ledger.run_records import RunRecord
    from raypipe.opensearch.connection.client import Connection
    from raypipe.opensearch.index import IndexAlias, IndexConfig, IndexSpec
    from raypipe.state.local import LocalState
    from raypipe.state.store import state_id
    from tests.unit.opensearch.builders import document
    from tests.unit.web.page_here import fail

    chance, embedder = random.Random(20), WordLlamaEmbedder()
    texts = [" ".join(chance.choices(WORDS, k=60)).capitalize() + "." for _ in range(count)]
    vectors = embedder.embed(texts)
    spec = IndexSpec(embedder.dimension, dict(embedder.identity()), "state-1", "recipe-1")
    index = IndexAlias(IndexConfig(Connection(endpoint), index=INDEX)).ensure(spec)
    documents = [
        document(
            f"b{number:06d}",
            title=" ".join(chance.sample(WORDS, 3)).title(),
            author=f"{chance.choice(WORDS)} {chance.choice(WORDS)}".title(),
            language=chance.choice(LANGUAGES),
            summary=text,
            keywords=tuple(chance.sample(WORDS, 5)),
            summary_vector=tuple(vector.tolist()),
        )
        for number, (text, vector) in enumerate(zip(texts, vectors, strict=True))
    ]
    written = sum(len(batch) for batch in index.bulk_writer(1).write(documents))
    index.refresh()
    say(f"indexed {written} books")
    state = LocalState(str(folder / "state"))
    state_id(state)
    RunRecord("20261128T100217Z-0001", 1, status="done", exit_code=3, failed=1).save(state)
    Ledger(state).failures.append([fail("empty.txt", "empty")], 1, "t", 0)


@contextmanager
def serve_page(endpoint: str, folder: Path) -> Iterator[str]:
    """Serve the page as the command does, in this process; yield its URL."""
    from raypipe.cli.commands.serve import serve
    from raypipe.config.compose import compose_config

    cfg = compose_config(
        "serve",
        [
            "opensearch=self_managed",
            f"opensearch.endpoint={endpoint}",
            f"opensearch.index={INDEX}",
            f"state.uri={folder / 'state'}",
            "port=0",
        ],
    )
    with serve(cfg) as url:
        yield url


def make_addresses(url: str, count: int) -> Iterator[str]:
    """Yield addresses of searches: descriptions, titles, authors, half of them with filters."""
    chance = random.Random(7)
    for number in range(count):
        values = {"q": " ".join(chance.choices(WORDS, k=chance.choice((1, 3, 12))))}
        if number % 2:
            values["language"] = chance.choice(LANGUAGES)
        if number % 4 == 3:
            values["author"] = chance.choice(WORDS)
        yield f"{url}/?{urlencode(values)}"


def read(address: str) -> None:
    """Read a page that must be a success."""
    with urllib.request.urlopen(address, timeout=60) as response:
        response.read()


def timed_read(address: str) -> float:
    """Return the seconds of a page."""
    began = time.perf_counter()
    read(address)
    return time.perf_counter() - began


def count_violations(url: str, folder: Path) -> tuple[float, float]:
    """Return the number of violations of all pages, and its reach."""
    from tests.slow.chromium import browse, find_chromium

    if find_chromium() is None:
        say("Chromium is not installed")
        return -1, -2
    found: list[str] = []
    paths = ["/", "/?q=lamp&language=en", "/books/b000001", "/books/id-empty.txt", "/books/none"]
    paths += ["/runs", "/runs/1", "/failures", "/failures?kind=empty"]
    (folder / "profile").mkdir()
    with browse(folder / "profile") as browser:
        for path in paths:
            for width, dark in LOOKS:
                browser.look(width=width, dark=dark)
                browser.go(url + path)
                found += [f"{path}: {each}" for each in browser.find_violations()]
    for each in found:
        say(each)
    say(f"axe looked at {len(paths) * len(LOOKS)} pages")
    return len(found), 0


if __name__ == "__main__":
    main()
