"""Check that an existing index can be written, before anything is listed or paid for."""

from __future__ import annotations

import logging
from typing import Any

from raypipe.core.errors import SetupError
from raypipe.opensearch.bulk.obstacles import NO_PIPELINE
from raypipe.opensearch.connection.known_causes import BLOCKED, CLOSED
from raypipe.opensearch.index.admin import IndexAdmin, IndexDescription
from raypipe.opensearch.index.pipelines import pipelines_of

log = logging.getLogger(__name__)

_BLOCKS = ("read_only", "write", "read", "metadata")
"""Blocks that stay until the user removes them; the block of a full disk does not."""


def check_open(admin: IndexAdmin, description: IndexDescription) -> None:
    """Raise `SetupError` if an index is closed."""
    if description.ref.closed:
        raise _refusal(admin, description, CLOSED)


def check_writable(admin: IndexAdmin, description: IndexDescription) -> None:
    """Warn about the ingest pipelines of an index that a run writes.

    Raises:
        SetupError: The index is closed or blocked, or its pipeline does not exist.
    """
    check_open(admin, description)
    blocks = _settings_of(description).get("blocks", {})
    if any(_is_true(blocks.get(name)) for name in _BLOCKS):
        raise _refusal(admin, description, BLOCKED)
    pipelines = pipelines_of(description.settings)
    for name in pipelines:
        if not _exists(admin, name):
            raise _refusal(admin, description, f"{NO_PIPELINE} (index.*_pipeline={name})")
    if pipelines:
        log.warning(
            "%s has the ingest pipeline %s: books whose documents it drops, changes or sends "
            "elsewhere are not indexed as they were made",
            description.ref.physical,
            ", ".join(pipelines),
        )


def _exists(admin: IndexAdmin, pipeline: str) -> bool:
    path = f"/_ingest/pipeline/{pipeline}"
    try:
        return admin.config.connection.ask("GET", path, ignore=(404,)) is not None
    except SetupError as error:
        log.info("Could not read the ingest pipeline %s: %s", pipeline, error)
        return True  # a write tells


def _settings_of(description: IndexDescription) -> dict[str, Any]:
    return dict(description.settings.get("index", {}))


def _is_true(value: object) -> bool:
    return str(value).lower() == "true"


def _refusal(admin: IndexAdmin, description: IndexDescription, obstacle: str) -> SetupError:
    physical = description.ref.physical
    text = obstacle.format(index=physical)
    return SetupError(f"{admin.config.label} ({physical}) cannot be written: {text}")
