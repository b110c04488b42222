"""The parameters that pages and the JSON API share."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query

from raypipe.opensearch.search import MAX_HITS
from raypipe.opensearch.search.filters import Filters

HITS = 10
"""Hits of a page of results."""
MAX_QUERY = 2_000
"""Characters of a description; a longer one is refused, see `query_text.shorten_query`."""
MAX_ROWS = 10_000
_MAX_VALUE = 500

Description = Annotated[
    str, Query(max_length=MAX_QUERY, description="Plain words, a title or an author.")
]
Limit = Annotated[int, Query(ge=1, le=MAX_HITS, description="Most hits.")]
Rows = Annotated[int, Query(ge=1, le=MAX_ROWS, description="Most rows, the newest first.")]
Kind = Annotated[str, Query(max_length=_MAX_VALUE, description="Kind of failure; '' for all.")]
BookId = Annotated[str, Path(max_length=_MAX_VALUE, description="Id of the book.")]
RunName = Annotated[str, Path(max_length=_MAX_VALUE, description="Id or number of the run.")]


def _filter(description: str) -> object:
    return Query(max_length=_MAX_VALUE, description=description)


def read_filters(
    language: Annotated[str, _filter("Code of the language, such as en.")] = "",
    author: Annotated[str, _filter("Words of the author, in any order.")] = "",
    genre: Annotated[str, _filter("Genre.")] = "",
    flag: Annotated[str, _filter("Flag of the text, such as gutenberg.")] = "",
    summarizer: Annotated[str, _filter("Name of the summarizer.")] = "",
    fallback: Annotated[str, _filter("Why the summary is the fallback's.")] = "",
) -> Filters:
    """Return the filters of a request."""
    return Filters(language, author, genre, flag, summarizer, fallback)
