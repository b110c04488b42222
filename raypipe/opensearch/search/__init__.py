"""Find books by a description.

`query` has the two halves of a search: words (BM25) and meaning (k-NN). `fusion` joins their hits,
and `book_search` sends the search. `filters` restricts it, `facets` lists
the values to choose from, and `searcher` does all of it for an alias.
"""

from raypipe.opensearch.search.book_search import (
    MAX_HITS,
    GoneError,
    Hit,
    open_for_search,
    search_vector,
)
from raypipe.opensearch.search.searcher import BookSearcher, search

__all__ = [
    "MAX_HITS",
    "BookSearcher",
    "GoneError",
    "Hit",
    "open_for_search",
    "search",
    "search_vector",
]
