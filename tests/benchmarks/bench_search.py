"""Are books found by three held-out sentences, by an author, and by a title with a typo?

The eight real books are not part of the project: --books FOLDER names them. They are cut into
pieces of 10,000 words, and 12 sentences of each piece are held out before it is indexed, in four
layouts with other sentences. The default job indexes each layout on a real node.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from before import BASELINE, check_out
from known_items import Query, Shelf, lay_out, misspell
from processes import environment
from report import Report, parse_books_folder, say

LAYOUTS = 4
TYPOS = 6
TOP = 10
SETS = ("passages", "authors", "titles with a typo", "titles and authors")
BEFORE = f"""
import json, sys
from raypipe.embedders.wordllama import WordLlamaEmbedder
from raypipe.opensearch.client import Connection
from raypipe.opensearch.index import OpenSearchIndex
from raypipe.opensearch.search import search_vector, searchable
url, name, queries = json.load(sys.stdin)
index, embedder = OpenSearchIndex(Connection(url), index=name), WordLlamaEmbedder()
handle, vectors = searchable(index, embedder), embedder.embed(queries, input_type="query")
found = [search_vector(index, handle, *pair, {TOP}) for pair in zip(vectors, queries)]
print(json.dumps([[hit.key for hit in hits] for hits in found]))
"""
"""Searches with the code of the earlier commit, whose modules had other names."""


@dataclass
class Ranks:
    """Ranks of the first hits that answer their queries; 0 if there is none in the top 10."""

    values: list[int] = field(default_factory=list)

    def add(self, queries: Sequence[Query], found: Sequence[Sequence[str]]) -> None:
        """Record the ranks of some queries' hits.

        Args:
            queries: The queries.
            found: Keys of the hits of each query, best first.
        """
        for query, keys in zip(queries, found, strict=True):
            hits = (rank for rank, key in enumerate(keys[:TOP], 1) if key in query.keys)
            self.values.append(next(hits, 0))

    def recall(self, top: int) -> float:
        """Return the share of the queries with a hit in the top."""
        return sum(0 < rank <= top for rank in self.values) / len(self.values)

    def mrr(self) -> float:
        """Return the mean reciprocal rank in the top 10."""
        return sum(1 / rank for rank in self.values if rank) / len(self.values)

    def summary(self) -> dict[str, float]:
        """Return the figures for a note."""
        figures = {"R@1": self.recall(1), "R@10": self.recall(TOP), "MRR": self.mrr()}
        return {name: round(value, 3) for name, value in figures.items()}


def main() -> None:
    """Index each layout, search it in every mode, and print the figures."""
    source = parse_books_folder(__doc__)
    from raypipe.embedded.services import Services

    report = Report("search")
    ranks: dict[str, dict[str, Ranks]] = {name: {} for name in SETS}
    with tempfile.TemporaryDirectory(prefix="raypipe-search-") as name:
        folder = Path(name)
        with Services(folder / "data") as services:
            url = services.start_opensearch()
            for seed in range(1, LAYOUTS + 1):
                shelf = lay_out(source, folder / f"books-{seed}", seed)
                index(url, seed, folder)
                for kind, queries in make_queries(shelf, seed).items():
                    for mode, found in search_all(url, seed, queries):
                        ranks[kind].setdefault(mode, Ranks()).add(queries, found)
                say(f"layout {seed}: {ranks['passages']['scores'].summary()}")
    add_figures(report, ranks)
    report.note("books_and_pieces", len(shelf.titles))
    report.finish()


def add_figures(report: Report, ranks: Mapping[str, Mapping[str, Ranks]]) -> None:
    """Add the figures, and the notes of every mode."""
    passages = ranks["passages"]
    hybrid, halves = passages["scores"], (passages["bm25"], passages["knn"])
    report.at_least("hybrid_r1", hybrid.recall(1), 0.29)
    report.at_least("hybrid_r10", hybrid.recall(TOP), 0.70)
    better = max(half.recall(TOP) for half in halves)
    report.at_least("hybrid_r10_minus_better_half", hybrid.recall(TOP) - better, -0.01)
    report.at_least("author_r1", ranks["authors"]["scores"].recall(1), 1.0)
    report.at_least("title_typo_r1", ranks["titles with a typo"]["scores"].recall(1), 0.98)
    for kind, modes in ranks.items():
        report.note(f"{kind}: queries", len(modes["scores"].values))
        for mode, found in modes.items():
            report.note(f"{kind}: {mode}", found.summary())


def make_queries(shelf: Shelf, seed: int) -> dict[str, list[Query]]:
    """Return the queries of each set."""
    chance = random.Random(seed)
    typos = [
        Query(misspell(query.text, chance), query.keys)
        for query in shelf.title_queries()
        for _ in range(TYPOS)
    ]
    sets = (
        shelf.passages,
        shelf.author_queries(),
        typos,
        shelf.title_and_author_queries(),
    )
    return dict(zip(SETS, sets, strict=True))


def index(url: str, seed: int, folder: Path) -> None:
    """Run the job with its defaults over a layout."""
    command = [sys.executable, "-m", "raypipe", "run", "output=json", "ray.dashboard=false"]
    command += ["storage=local", f"storage.path={folder / f'books-{seed}'}"]
    command += ["opensearch=self_managed", f"opensearch.endpoint={url}", "opensearch.replicas=0"]
    command += [f"opensearch.index=books-{seed}", f"state.uri={folder / f'state-{seed}'}"]
    subprocess.run(command, cwd=folder, env=environment(), check=True, stdout=subprocess.DEVNULL)


def search_all(
    url: str, seed: int, queries: Sequence[Query]
) -> Iterator[tuple[str, list[list[str]]]]:
    """Yield each mode with the keys that it finds for each query, best first."""
    from raypipe.core.search_options import FUSIONS
    from raypipe.embedders.wordllama import WordLlamaEmbedder
    from raypipe.opensearch.connection.client import Connection
    from raypipe.opensearch.index import IndexAlias, IndexConfig
    from raypipe.opensearch.search import open_for_search, search_vector
    from raypipe.opensearch.search.query import vector_body, words_body

    embedder = WordLlamaEmbedder()
    alias = IndexAlias(IndexConfig(Connection(url), index=f"books-{seed}"))
    opened = open_for_search(alias, embedder)
    texts = [query.text for query in queries]
    vectors = embedder.embed(texts, input_type="query")
    pairs = list(zip(vectors, texts, strict=True))
    for fusion in FUSIONS:
        found = [search_vector(opened, *pair, TOP, fusion) for pair in pairs]
        yield fusion, [[hit.key for hit in hits] for hits in found]
    half = {
        "bm25": [words_body(text, TOP) for text in texts],
        "knn": [vector_body(vector, TOP) for vector in vectors],
    }
    for mode, bodies in half.items():
        yield mode, [search_half(opened, body) for body in bodies]
    checkout = check_out()
    done = subprocess.run(
        [str(checkout.python), "-c", BEFORE],
        input=json.dumps([url, f"books-{seed}", texts]),
        cwd=checkout.root, env=checkout.environment(),
        check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    yield f"at {BASELINE}", json.loads(done.stdout)


def search_half(opened: Any, body: dict[str, Any]) -> list[str]:
    """Return the keys that one half of a search finds, best first."""
    lines = [{"index": opened.ref.physical}, {**body, "size": TOP}]
    option = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
    sent = b"".join(orjson.dumps(line, option=option) for line in lines)
    [response] = opened.connection.ask("POST", "/_msearch", body=sent)["responses"]
    return [hit["_source"]["key"] for hit in response["hits"]["hits"]]


if __name__ == "__main__":
    main()
