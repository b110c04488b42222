"""Find the ingest pipelines that the server applies to the documents of an index."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raypipe.opensearch.connection.answers import parsing_or_retry
from raypipe.opensearch.connection.requester import Requester

_SETTINGS = ("default_pipeline", "final_pipeline")
_NONE = "_none"


def pipelines_of(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the ingest pipelines in the settings of an index.

    Args:
        settings: Its `settings`, as in the response to `GET /<index>`.
    """
    index = settings.get("index", {})
    names = (str(index.get(name) or _NONE) for name in _SETTINGS)
    return tuple(name for name in names if name != _NONE)


def find_pipelines(connection: Requester, physical: str) -> tuple[str, ...]:
    """Return the names of the ingest pipelines of an index.

    Raises:
        opensearchpy.exceptions.OpenSearchException: The request failed; it is not retried.
    """
    # The request that opens an index, so that it needs no further rights.
    response = connection.send("GET", f"/{physical}")
    with parsing_or_retry(f"GET /{physical}"):
        [body] = response.values()
        return pipelines_of(body.get("settings", {}))
