"""Searches while an index is rebuilt: each must be answered from one whole index.

    python tests/benchmarks/bench_rebuild.py [--documents 4000] [--rebuilds 3] [--url URL]

Ten times a second a search is asked, of a served index of which the same documents are built anew
beside it, checked, and served, several times over, without any old index kept. Every title says
which build it is of: an answer with two of them, or with too few hits, is wrong. The last line is
one JSON object.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from bench_bulk import DIMENSION, documents, node  # noqa: E402
from report import Report, say  # noqa: E402

from raypipe.core.book import Document  # noqa: E402
from raypipe.core.options import IndexOptions  # noqa: E402
from raypipe.ledger.checkpoint import Checkpoint, Processed  # noqa: E402
from raypipe.ledger.document_store import DocumentStore  # noqa: E402
from raypipe.ledger.facade import Ledger  # noqa: E402
from raypipe.lifecycle.promote import Promoter  # noqa: E402
from raypipe.models.context import CallsNoModel  # noqa: E402
from raypipe.opensearch.connection.client import Connection  # noqa: E402
from raypipe.opensearch.index import IndexAlias, IndexConfig, IndexSpec  # noqa: E402
from raypipe.opensearch.search import search  # noqa: E402
from raypipe.state.local import LocalState  # noqa: E402
from raypipe.state.store import state_id  # noqa: E402

PER_SECOND = 10
LIMIT = 10


class Vectors(CallsNoModel):
    """Vectors of queries, drawn by their words."""

    name = "bench"
    dimension = DIMENSION

    def identity(self) -> Mapping[str, Any]:
        """Return what changes its vectors."""
        return {"model": "bench"}

    def check(self) -> None:
        """Do nothing."""

    def embed(self, texts: Sequence[str], *, input_type: str = "document") -> NDArray[np.float32]:
        """Return a vector a text."""
        return np.stack(
            [np.random.default_rng(len(text)).normal(size=DIMENSION) for text in texts]
        ).astype(np.float32)


@dataclass
class Searches:
    """What was asked, and how it went."""

    asked: int = 0
    failed: list[str] = field(default_factory=list)
    mixed: int = 0
    short: int = 0
    slowest_s: float = 0.0
    seen: set[str] = field(default_factory=set)


def main() -> None:
    """Rebuild while searching, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=4_000)
    parser.add_argument("--rebuilds", type=int, default=3)
    parser.add_argument("--url")
    given = parser.parse_args()
    report = Report("rebuild")
    docs = documents(given.documents, 1)
    with node(given.url) as url, tempfile.TemporaryDirectory(prefix="raypipe-bench-") as folder:
        alias = IndexAlias(IndexConfig(Connection(url, threads=8), index="bench-rebuild"))
        state = LocalState(folder)
        rebuild(alias, state, docs, 0)
        found, over = Searches(), threading.Event()
        words = " ".join(docs[0].summary.split()[:6])
        threads = [
            threading.Thread(target=ask, args=(alias, words, found, over, at), daemon=True)
            for at in range(4)
        ]
        for thread in threads:
            thread.start()
        began = time.monotonic()
        for number in range(1, given.rebuilds + 1):
            rebuild(alias, state, docs, number)
            say(f"rebuild {number} served after {time.monotonic() - began:.0f} s")
        time.sleep(2)
        over.set()
        for thread in threads:
            thread.join()
        rate = found.asked / (time.monotonic() - began)
        alias.config.connection.ask("DELETE", "/bench-rebuild-*")
    report.at_most("not_answered", len(found.failed), 0)
    report.at_most("of_two_indices", found.mixed, 0)
    report.at_most("empty_or_short", found.short, 0)
    report.at_least("indices_seen", len(found.seen), given.rebuilds + 1)
    report.at_least("searches_per_s", rate, 0.9 * PER_SECOND)
    report.note("searches", found.asked)
    report.note("slowest_s", found.slowest_s)
    if found.failed:
        report.note("first_failure", found.failed[0])
    report.finish()


def rebuild(alias: IndexAlias, state: LocalState, docs: Sequence[Document], number: int) -> None:
    """Build the documents anew, as a run with another recipe does, and serve them."""
    recipe = f"recipe-{number}"
    contents = IndexSpec(DIMENSION, {"model": "bench"}, state_id(state), recipe)
    index = alias.open(contents, mode="alias")
    made = [
        replace(doc, title=f"build {number}", document_recipe=recipe, run_seq=number + 1)
        for doc in docs
    ]
    DocumentStore(state).append(made, number + 1, 0, 0)
    for _ in index.bulk_writer(number + 1).write(made):
        pass
    rows = [
        Processed(
            doc.book_id, doc.etag, recipe, index.ref.physical, index.ref.generation, number + 1, 0.0
        )
        for doc in made
    ]
    Checkpoint(state).append(rows, number + 1, 0, 0)
    served = Promoter(alias, Ledger(state), IndexOptions(keep=0), 99).promote(index)
    assert served.index == index.ref.physical, served


def ask(alias: IndexAlias, words: str, found: Searches, over: threading.Event, at: int) -> None:
    """Search every four tenths of a second, until it is over."""
    embedder = Vectors()
    due = time.monotonic() + at / PER_SECOND
    while not over.wait(max(0.0, due - time.monotonic())):
        due += 4 / PER_SECOND
        began = time.monotonic()
        try:
            hits = search(alias, embedder, words, LIMIT)
        except Exception as error:
            found.failed.append(str(error))
            continue
        finally:
            found.asked += 1
            found.slowest_s = max(found.slowest_s, time.monotonic() - began)
        titles = {hit.title for hit in hits}
        found.mixed += len(titles) > 1
        found.short += len(hits) < LIMIT
        found.seen |= titles


if __name__ == "__main__":
    main()
