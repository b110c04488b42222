"""Search the books of an alias: open its index, embed the query, and send the search."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from raypipe.core.errors import SetupError
from raypipe.core.timed_value import TimedValue
from raypipe.embedders.protocol import Embedder
from raypipe.opensearch.index import Index, IndexAlias
from raypipe.opensearch.search.book_search import (
    GoneError,
    Hit,
    list_titles,
    open_for_search,
    search_vector,
)
from raypipe.opensearch.search.facets import Facets, read_facets
from raypipe.opensearch.search.filters import NO_FILTERS, Filters

T = TypeVar("T")


class BookSearcher:
    """Searches the books of an alias with one embedder. Threads may share it.

    Args:
        alias: The index.
        embedder: The embedder whose vectors the index holds.
        fusion: `scores` adds the normalized scores of both halves, `rrf` fuses their ranks.
        reuse_s: Seconds for which the opened index is used again; then the alias may point to
            another index. 0 to open it for each search.
        facets_s: Seconds for which the values of filters are used again.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        alias: IndexAlias,
        embedder: Embedder,
        fusion: str = "scores",
        *,
        reuse_s: float = 0.0,
        facets_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._alias = alias
        self._embedder = embedder
        self._fusion = fusion
        self._index = TimedValue(lambda: open_for_search(alias, embedder), reuse_s, clock)
        self._facets = TimedValue(
            lambda: self._read(read_facets, self._index.get()), facets_s, clock
        )

    def find(self, query: str, limit: int = 5, filters: Filters = NO_FILTERS) -> list[Hit]:
        """Return the books that fit a description best, best first.

        Args:
            query: Plain words, a title or an author; punctuation has no meaning. Without words,
                the books that meet the filters, by title; no books without filters.
            limit: Most hits, at most 1,000.
            filters: Conditions that every hit meets.

        Raises:
            SetupError: There is no such index or fusion, the index holds no books, its vectors are
                of another embedder, or the server cannot be used.
        """
        index = self._index.get()  # a wrong index is reported before a model is loaded or paid
        if not query.strip():
            if not filters.chosen():
                return []
            return self._read(lambda index: list_titles(index, limit, filters), index)
        vector = self._embedder.embed([query], input_type="query")[0]
        hits = self._read(
            lambda index: search_vector(index, vector, query, limit, self._fusion, filters), index
        )
        # Every book is near to a vector, so that books give hits if there are no filters.
        if not hits and not filters.chosen() and not self._read(Index.count, index):
            raise SetupError(
                f"{self._alias.config.label} holds no books yet; `raypipe run` adds them, and "
                "`raypipe verify` shows what is missing"
            )
        return hits

    def read_facets(self) -> Facets:
        """Return the values that the index holds for each filter.

        Raises:
            SetupError: As `find`.
        """
        return self._facets.get()

    def _read(self, read: Callable[[Index], T], index: Index) -> T:
        try:
            return read(index)
        except GoneError:
            # The alias was switched at this moment, and the index behind it deleted.
            self._index.clear()
            return read(self._index.get())


def search(
    alias: IndexAlias, embedder: Embedder, query: str, limit: int = 5, fusion: str = "scores"
) -> list[Hit]:
    """Return the books that fit a description best, best first.

    Args:
        alias: The index.
        embedder: The embedder whose vectors the index holds.
        query: Plain words, a title or an author; punctuation has no meaning.
        limit: Most hits, at most 1,000.
        fusion: `scores` adds the normalized scores of both halves, `rrf` fuses their ranks.

    Raises:
        SetupError: There is no such index or fusion, the index holds no books, its vectors are of
            another embedder, or the server cannot be used.
    """
    return BookSearcher(alias, embedder, fusion).find(query, limit)
