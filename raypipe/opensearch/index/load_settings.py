"""Change index settings during a large load, and restore them before the index is served."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from raypipe.core.errors import SetupError
from raypipe.opensearch.index.admin import IndexAdmin, IndexDescription
from raypipe.opensearch.index.metadata import read_metadata

log = logging.getLogger(__name__)


def apply_load_settings(admin: IndexAdmin, physical: str, settings: Mapping[str, Any]) -> None:
    """Apply settings for a load to an index that nobody searches.

    The old values are first written to `_meta`, so that the next run after a kill restores them.
    A server that refuses, as zone-aware domains do, keeps its settings.

    Args:
        admin: Requests to the server.
        physical: Name of the index.
        settings: Settings during the load.
    """
    description = admin.describe_physical(physical)
    metadata = read_metadata(description.mapping)
    if metadata is None or metadata.restore:
        return
    current = description.settings.get("index", {})
    restore = {name: current.get(name) for name in settings}
    admin.write_metadata(description, replace(metadata, restore=restore))
    try:
        admin.write_settings(physical, settings)
    except SetupError as error:
        log.warning("%s keeps its settings during the load: %s", physical, error)


def restore_settings(admin: IndexAdmin, description: IndexDescription) -> None:
    """Restore the settings from before a load, if there was one."""
    metadata = read_metadata(description.mapping)
    if metadata is None or not metadata.restore:
        return
    admin.write_settings(description.ref.physical, metadata.restore)
    admin.write_metadata(description, replace(metadata, restore={}))
    log.info("Restored replicas and refresh of %s", description.ref.physical)
