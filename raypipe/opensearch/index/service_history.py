"""Record in the metadata of indices when each began to be served.

Rollback and pruning follow this history. Names tell only when an index was created: after a
rollback, people search the index with the older name.
"""

from __future__ import annotations

import time
from dataclasses import replace

from raypipe.opensearch.index.admin import IndexAdmin, IndexDescription
from raypipe.opensearch.index.metadata import IndexMetadata, read_metadata


def first_service(admin: IndexAdmin, metadata: IndexMetadata) -> IndexMetadata:
    """Return the metadata of an index that is created behind the served alias."""
    return metadata.with_service(_next_number(admin), _now())


def record_service(admin: IndexAdmin, physical: str, previous: str = "") -> None:
    """Record that an index begins to be served; call it before the alias is switched.

    If the alias is then not switched, the index counts as served last, and is kept.

    Args:
        admin: The served alias.
        physical: The index.
        previous: The index that was served before; recorded first if it has no history.
    """
    number = _next_number(admin)
    for name in filter(None, (previous, physical)):
        description = admin.describe_physical(name)
        if name == physical or not description.ref.last_served:
            number += _record(admin, description, number)


def record_missing_history(admin: IndexAdmin, description: IndexDescription) -> IndexDescription:
    """Record that an index is served now, if an older raypipe has left no history of it."""
    ref = description.ref
    if ref.last_served or not ref.generation:
        return description
    number = _next_number(admin)
    if not _record(admin, description, number):
        return description
    return replace(description, ref=replace(ref, last_served=number))


def _record(admin: IndexAdmin, description: IndexDescription, number: int) -> bool:
    """Write a service; return False for an index that raypipe did not create."""
    metadata = read_metadata(description.mapping)
    if metadata is None:
        return False
    admin.write_metadata(description, metadata.with_service(number, _now()))
    return True


def _next_number(admin: IndexAdmin) -> int:
    return 1 + max((ref.last_served for ref in admin.list_physical()), default=0)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
