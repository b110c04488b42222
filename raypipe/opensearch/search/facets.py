"""List the values that an index holds, to choose filters from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from raypipe.opensearch.connection.answers import parsing
from raypipe.opensearch.index import Index
from raypipe.opensearch.search.book_search import GoneError
from raypipe.opensearch.search.filters import FACET_FIELDS

MAX_VALUES = 200
"""Values of a filter that are listed, the most frequent first."""


@dataclass(frozen=True)
class FacetValue:
    """A value that books of the index have.

    Attributes:
        value: The value.
        books: Number of books with it.
    """

    value: str
    books: int


Facets = Mapping[str, Sequence[FacetValue]]
"""The values of each filter by its name, the most frequent first; names as in `Filters`."""


def read_facets(index: Index) -> Facets:
    """Return the values that the index holds for each filter, at most `MAX_VALUES` of each.

    Raises:
        GoneError: The index was deleted.
        SetupError: The server cannot be used.
    """
    aggs = {
        name: {"terms": {"field": field, "size": MAX_VALUES}}
        for name, field in FACET_FIELDS.items()
    }
    path = f"/{index.ref.physical}/_search"
    body = {"size": 0, "track_total_hits": False, "aggs": aggs}
    response = index.connection.ask("POST", path, body=body, ignore=(404,))
    if response is None:
        raise GoneError(f"{index.config.label} has no index {index.ref.physical} any longer")
    with parsing(index.connection, f"POST {path}"):
        return {
            name: [
                FacetValue(str(bucket["key"]), int(bucket["doc_count"]))
                for bucket in response["aggregations"][name]["buckets"]
                if bucket["key"] != ""  # books without this value
            ]
            for name in FACET_FIELDS
        }
