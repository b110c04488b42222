"""Find books by a description.

`query` has the two halves of a search: words (BM25) and meaning (k-NN). `fusion` joins their hits,
and `book_search` sends the search.
"""

from raypipe.opensearch.search.book_search import (
    MAX_HITS,
    GoneError,
    Hit,
    open_for_search,
    search,
    search_vector,
)

__all__ = ["MAX_HITS", "GoneError", "Hit", "open_for_search", "search", "search_vector"]
