"""Recognize why an index accepts no document at all, and say how to change that."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from raypipe.opensearch.connection.known_causes import BLOCKED, CLOSED

NO_PIPELINE = (
    "the ingest pipeline of the index does not exist; create it, or remove index.default_pipeline "
    "and index.final_pipeline in PUT /{index}/_settings"
)
NO_INGEST_NODE = (
    "the index has an ingest pipeline, and no node runs pipelines; give a node the role ingest, or "
    "remove index.default_pipeline and index.final_pipeline in PUT /{index}/_settings"
)
MOVED = (
    "its alias {alias} belongs to other indices, too; remove that alias from all of them, the next "
    "run creates it again"
)
_OBSTACLES = (
    ("index_closed_exception", "", CLOSED),
    ("cluster_block_exception", r".*\[FORBIDDEN/(?!6/|12/|13/)", BLOCKED),
    ("illegal_argument_exception", r"pipeline with id \[.*\] does not exist", NO_PIPELINE),
    ("illegal_state_exception", "There are no ingest nodes", NO_INGEST_NODE),
    ("illegal_argument_exception", "no write index is defined for alias", MOVED),
)
"""Type of an error, pattern of the beginning of its reason, and cause and fix."""


def find_obstacle(cause: Any) -> str:
    """Return cause and fix of an error that every document meets, or ''.

    The text has the fields `index` and `alias`. Blocks that end by themselves, as that of a full
    disk does, are no obstacle.

    Args:
        cause: An OpenSearch error object, or None.
    """
    if not isinstance(cause, Mapping):
        return ""
    reason = cause.get("reason")
    if not isinstance(reason, str):
        return ""
    for error_type, pattern, text in _OBSTACLES:
        if cause.get("type") == error_type and re.match(pattern, reason):
            return text
    return ""
