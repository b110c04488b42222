"""Making an index, checking one that is there, emptying it; and its settings."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from raypipe.core.errors import SetupError
from raypipe.opensearch.connection.capabilities import check_server
from raypipe.opensearch.index.config import IndexConfig, IndexRef, IndexSpec
from raypipe.opensearch.index.mapping import VECTOR, Meta, differences, index_body, meta_of
from raypipe.opensearch.index.pagination import count
from raypipe.opensearch.index.reads import IndexedBook, mget, refresh, scan_ids
from raypipe.opensearch.index.serverless import visibility_polls

__all__ = [
    "IndexConfig",
    "IndexRef",
    "IndexSpec",
    "IndexedBook",
    "count",
    "ensure",
    "find",
    "mget",
    "purge",
    "refresh",
    "scan_ids",
]

log = logging.getLogger(__name__)

CREATE_TRIES = 3


@dataclass(frozen=True)
class Found:
    """An index as it is there."""

    handle: IndexRef
    mapping: Mapping[str, Any]
    settings: Mapping[str, Any]


def ensure(index: IndexConfig, contents: IndexSpec, *, adopt: bool = False) -> IndexRef:
    """Return the index to write to, made if it is not there.

    Args:
        index: Where and how.
        contents: What it is to hold.
        adopt: Take over an index of another state, or one that raypipe never marked.

    Raises:
        SetupError: The server or the index cannot be used; the line says why and the way out.
    """
    check_server(index)
    return get_or_create(index, contents, adopt=adopt)


def get_or_create(index: IndexConfig, contents: IndexSpec, *, adopt: bool) -> IndexRef:
    """Return the index to write to, made if it is not there; the server was checked.

    Raises:
        SetupError: As `ensure`.
    """
    for _ in range(CREATE_TRIES):
        found = get_index(index)
        if found is not None:
            return accept(index, found, contents, adopt=adopt)
        created = create(index, contents)
        if created is not None:
            return created
        log.info("Another run is making %s; looking again", index.index)
    raise SetupError(
        f"{describe_index(index)} is made and deleted by others again and again; stop them"
    )


def find(index: IndexConfig) -> IndexRef | None:
    """Return the index as it is, or None if there is none; makes and changes nothing.

    Raises:
        SetupError: The server cannot be used, or the alias stands on several indices.
    """
    found = get_index(index)
    return None if found is None else found.handle


def purge(index: IndexConfig, contents: IndexSpec, *, adopt: bool = False) -> IndexRef:
    """Delete the physical index, if there is one, and make a new one: another generation.

    Raises:
        SetupError: As `ensure`; an index of another state is not deleted without `adopt`.
    """
    check_server(index)
    found = get_index(index)
    if found is not None:
        check_owner(index, found, contents, adopt=adopt)
        log.info("Deleting the index %s", found.handle.physical)
        delete(index, found.handle.physical)
    return get_or_create(index, contents, adopt=adopt)


def get_index(index: IndexConfig) -> Found | None:
    """Return the index behind an alias, or of that name, as it is; None if there is none.

    Raises:
        SetupError: As `find`.
    """
    answer = index.connection.ask("GET", f"/{index.index}", ignore=(404,))
    if not answer:
        return None
    if len(answer) > 1:
        raise SetupError(
            f"{describe_index(index)} is an alias of several indices ({', '.join(sorted(answer))}); "
            "leave it on one of them, or give another opensearch.index"
        )
    [(physical, body)] = answer.items()
    alias = body.get("aliases", {}).get(index.index)
    if alias is not None and str(alias.get("is_write_index", True)).lower() == "false":
        raise SetupError(
            f"{describe_index(index)} is an alias that may not be written (is_write_index=false of "
            f"{physical}); make it the write index, or give another opensearch.index"
        )
    return found_as(index, index.index, physical, body)


def found_as(index: IndexConfig, name: str, physical: str, body: Mapping[str, Any]) -> Found:
    """Return an index from what the server says of it.

    Args:
        index: Where.
        name: The alias that it is written under; its own name where that is no alias.
        physical: The index's own name.
        body: Its aliases, mappings and settings, as `GET /<physical>` answers.
    """
    mapping = body.get("mappings", {})
    meta = meta_of(mapping)
    handle = IndexRef(
        alias=name,
        physical=physical,
        generation=meta.generation if meta else "",
        endpoint=index.connection.endpoint,
        require_alias=physical != name,
        state=meta.state if meta else "",
        embedder=meta.embedder if meta else {},
        dimension=int(mapping.get("properties", {}).get(VECTOR, {}).get("dimension", 0)),
        recipe=meta.recipe if meta else "",
    )
    return Found(handle, mapping, body.get("settings", {}))


def incompatibilities(index: IndexConfig, found: Found, contents: IndexSpec) -> list[str]:
    """Return in which ways an index cannot hold what it is to hold, one readable line each."""
    return differences(found.mapping, found.settings, _body(index, contents, _new_meta(contents)))


def accept(index: IndexConfig, found: Found, contents: IndexSpec, *, adopt: bool) -> IndexRef:
    """Return the index that is there, to write into it.

    Raises:
        SetupError: It does not fit, or is another state's.
    """
    handle = found.handle
    lines = incompatibilities(index, found, contents)
    if lines:
        raise SetupError(
            f"{describe_index(index)} ({handle.physical}) does not fit: {'; '.join(lines)}. Build a new one "
            "beside it with index.mode=alias, make it anew with purge=true, or give another "
            "opensearch.index"
        )
    check_owner(index, found, contents, adopt=adopt)
    if not handle.require_alias:
        log.info("%s is an index, not an alias: it is used in place", index.index)
    if (handle.state, handle.recipe) == (contents.state, contents.recipe) and handle.generation:
        return handle
    return _adopt(index, found, contents)


def check_owner(index: IndexConfig, found: Found, contents: IndexSpec, *, adopt: bool) -> None:
    """Raise `SetupError` if an index is another state's, or nobody's."""
    handle = found.handle
    if adopt or (handle.generation and handle.state == contents.state):
        return
    if handle.generation:
        whose = f"belongs to the state {handle.state}, and this run's state is {contents.state}"
    else:
        whose = "was not made by raypipe"
    raise SetupError(
        f"{describe_index(index)} ({handle.physical}) {whose}; give that state's state.uri, another "
        "opensearch.index, or adopt=true to take it over"
    )


def _adopt(index: IndexConfig, found: Found, contents: IndexSpec) -> IndexRef:
    # The generation stays: this state's ledger names no book of this recipe in it, so every one
    # is written again.
    meta = _new_meta(contents)
    if found.handle.generation:
        meta = replace(meta, generation=found.handle.generation)
    if found.handle.state != contents.state:
        log.info("Took over %s for the state %s", found.handle.physical, contents.state)
    write_metadata(index, found, meta)
    return replace(
        found.handle,
        generation=meta.generation,
        state=meta.state,
        embedder=meta.embedder,
        recipe=meta.recipe,
    )


def write_metadata(index: IndexConfig, found: Found, meta: Meta) -> None:
    """Write raypipe's mark; what others keep in `_meta`, which is replaced whole, stays."""
    marks = {**found.mapping.get("_meta", {}), "raypipe": meta.as_dict()}
    index.connection.ask("PUT", f"/{found.handle.physical}/_mapping", body={"_meta": marks})


def delete(index: IndexConfig, physical: str) -> None:
    """Delete a physical index; one that is gone already is no error."""
    index.connection.ask("DELETE", f"/{physical}", ignore=(404,))


def create(index: IndexConfig, contents: IndexSpec, name: str = "") -> IndexRef | None:
    """Make the index and its alias in one request, or return None if another was faster.

    `is_write_index` decides between two creators: the server refuses an alias with two.

    Args:
        index: The alias, and how.
        contents: What it is to hold.
        name: What the physical index is called before the time; empty = as the alias.
    """
    meta = _new_meta(contents)
    physical = _free(index, name or index.index)
    aliases = {index.index: {"is_write_index": True}}
    body = {**_body(index, contents, meta), "aliases": aliases}
    try:
        answer = index.connection.ask("PUT", f"/{physical}", body=body)
    except SetupError:
        found = get_index(index)
        if found is None:
            raise
        # A lost answer, or a server that was busy and did it all the same: it is ours.
        ours = found.handle.generation == meta.generation
        return replace(found.handle, created=True) if ours else None
    if not answer.get("shards_acknowledged", True):
        log.warning("%s is made, but its shards are not started yet", physical)
    _wait_for(index)
    log.info("Made the index %s behind the alias %s", physical, index.index)
    return IndexRef(
        alias=index.index,
        physical=physical,
        generation=meta.generation,
        endpoint=index.connection.endpoint,
        created=True,
        state=meta.state,
        embedder=meta.as_dict()["embedder"],
        dimension=contents.dimension,
        recipe=meta.recipe,
    )


def _wait_for(index: IndexConfig) -> None:
    """Wait until a new index is there: Serverless answers before it is.

    It takes some 15 s, as users of Flink's sink measured (apache/flink-agents pull request 678).
    """
    if index.has_ids:
        return
    for _ in visibility_polls(index):
        if get_index(index) is not None:
            return


def _free(index: IndexConfig, name: str) -> str:
    """Return a name for a new physical index; a second has one, and may be gone already."""
    moment = datetime.now(UTC)
    while True:
        physical = f"{name}-{moment:%Y%m%d%H%M%S}"
        if not index.connection.ask("GET", f"/{physical}/_settings", ignore=(404,)):
            return physical
        moment += timedelta(seconds=1)


def _new_meta(contents: IndexSpec) -> Meta:
    return Meta(uuid.uuid4().hex, contents.state, contents.recipe, contents.embedder)


def _body(index: IndexConfig, contents: IndexSpec, meta: Meta) -> dict[str, Any]:
    return index_body(
        contents.dimension,
        meta,
        engine=index.engine,
        shards=index.shards,
        replicas=index.replicas,
        has_ids=index.has_ids,
    )


def describe_index(index: IndexConfig) -> str:
    """Name an index and its server in a message."""
    return f"opensearch.index={index.index} at {index.connection.endpoint}"
