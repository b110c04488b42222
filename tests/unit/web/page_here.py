"""A page in this process, with a searcher whose hits a test sets."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from starlette.testclient import TestClient

from raypipe.core.errors import SetupError
from raypipe.ledger.facade import Ledger
from raypipe.ledger.failure_log import FailedBook
from raypipe.opensearch.index import IndexAlias
from raypipe.opensearch.search import BookSearcher, Hit
from raypipe.opensearch.search.facets import Facets, FacetValue
from raypipe.opensearch.search.filters import NO_FILTERS, Filters
from raypipe.state.local import LocalState
from raypipe.state.store import state_id
from raypipe.web.access import AccessRules
from raypipe.web.app import create_app
from raypipe.web.readers import BookReader, RunReader
from tests.unit.opensearch.builders import config_at

HOST = "http://127.0.0.1:8000"
SCRIPT = "<script>alert('x')</script>"
FACETS: Facets = {
    "language": [FacetValue("en", 7), FacetValue("fr", 2)],
    "author": [FacetValue("Jane Austen", 6), FacetValue('"><script>', 1)],
    "genre": [FacetValue("novel", 9)],
    "flag": [],
    "summarizer": [FacetValue("lead", 9)],
    "fallback": [FacetValue("model", 1)],
}


def hit(rank: int, **values: Any) -> Hit:
    known: dict[str, Any] = {"book_id": f"b{rank}", "key": f"{rank}.txt", "title": f"Title {rank}"}
    known |= {"author": "An Author", "score": 1.0, "summary": "Two keepers quarrel over a lamp."}
    return Hit(**{"rank": rank, **known, **values})


def fail(key: str, kind: str = "binary", **values: Any) -> FailedBook:
    cells: dict[str, Any] = {
        "book_id": f"id-{key}",
        "etag": "etag",
        "recipe": "recipe",
        "stage": "text",
    }
    cells |= {"message": f"{key}: why", "retryable": False, "attempts": 1, "run_seq": 1}
    return FailedBook(**{**cells, "failed_at": 1_795_860_137.0, **values}, key=key, kind=kind)


@dataclass
class FakeSearcher:
    """Returns the hits that a test sets, and keeps the arguments."""

    hits: Sequence[Hit] = ()
    facets: Facets = field(default_factory=lambda: dict(FACETS))
    problem: str = ""
    delay_s: float = 0.0
    asked: list[tuple[str, int, Mapping[str, str]]] = field(default_factory=list)

    def find(self, query: str, limit: int = 5, filters: Filters = NO_FILTERS) -> list[Hit]:
        self.asked.append((query, limit, filters.chosen()))
        time.sleep(self.delay_s)
        if self.problem == "bug":
            raise RuntimeError("a bug at http://user:secret@host")
        if self.problem:
            raise SetupError(self.problem)
        return list(self.hits[:limit])

    def read_facets(self) -> Facets:
        return self.facets


@dataclass
class Page:
    """A page, what it reads, and a client that calls it."""

    folder: Path
    index_url: str = "http://127.0.0.1:9"
    rules: AccessRules = field(default_factory=AccessRules)

    def __post_init__(self) -> None:
        self.searcher = FakeSearcher()
        self.state = LocalState(str(self.folder / "state"))
        state_id(self.state)
        books = BookReader(
            cast(BookSearcher, self.searcher),
            IndexAlias(config_at(self.index_url)),
            self.open_ledger,
        )
        self.app = create_app(books, RunReader(self.open_ledger), self.rules)
        self.client = TestClient(self.app, base_url=HOST, raise_server_exceptions=False)

    def open_ledger(self) -> Ledger:
        if not Path(self.state.root).exists():
            raise SetupError(f"there is no state at {self.state.root}; `raypipe run` makes it")
        return Ledger(self.state)

    def get(self, path: str, **headers: str) -> tuple[int, str]:
        """Return status and text of a response."""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        response = self.client.get(path, headers=names)
        return response.status_code, response.text
