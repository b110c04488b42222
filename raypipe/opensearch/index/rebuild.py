"""An index that is built beside the one that people search, until the alias goes over to it.

A build stands behind an alias of its own, `<index>-loading`: a run that was killed finds it there
and goes on, and the one request that lets the served alias go over takes that alias away.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from raypipe.core.errors import SetupError
from raypipe.core.options import IndexOptions
from raypipe.opensearch.connection.capabilities import check_server
from raypipe.opensearch.index import index as indices
from raypipe.opensearch.index.config import IndexConfig, IndexRef, IndexSpec
from raypipe.opensearch.index.index import Found, describe_index, get_index
from raypipe.opensearch.index.mapping import meta_of

log = logging.getLogger(__name__)

_LOADING = "-loading"
_TIME = re.compile(r"\d{14}")
_LOOK_S = 1.0
_TUNED = {"number_of_replicas": 0, "refresh_interval": "-1"}
"""Each replica would build each vector's graph once more, each refresh a segment."""


def loading(index: IndexConfig) -> IndexConfig:
    """Return the settings of the alias that a build stands behind."""
    return replace(index, index=f"{index.index}{_LOADING}")


def open_index(
    index: IndexConfig, contents: IndexSpec, *, mode: str = "auto", adopt: bool = False
) -> IndexRef:
    """Return the index that a run writes to: the served one, or one that is built beside it.

    Args:
        index: Where and how.
        contents: What it is to hold.
        mode: Of `raypipe.core.options.INDEX_MODES`.
        adopt: Take over an index of another state, or one that raypipe never marked.

    Raises:
        SetupError: The server or the index cannot be used; the line says why and the way out.
    """
    check_server(index)
    served = get_index(index)
    if served is not None:
        restore_settings(index, served)
    if not _needs_rebuild(index, served, contents, mode):
        return indices.get_or_create(index, contents, adopt=adopt)
    if served is not None:
        indices.check_owner(index, served, contents, adopt=adopt)
    return _build(index, contents, adopt=adopt)


def find_build(index: IndexConfig) -> IndexRef | None:
    """Return the index that is being built, or None."""
    found = get_index(loading(index))
    return None if found is None else replace(found.handle, served=False)


def drop(index: IndexConfig, state: str) -> None:
    """Delete what is being built, if it is this state's."""
    found = get_index(loading(index))
    if found is not None and found.handle.state == state:
        log.info("Deleting %s, which was being built", found.handle.physical)
        indices.delete(index, found.handle.physical)


def apply_load_settings(index: IndexConfig, handle: IndexRef) -> None:
    """Take replicas and refreshes away from an index that nobody searches.

    What they were is written into `_meta` first, so that whoever comes after a kill puts it back.
    A server that refuses, as zone-aware domains do, is left as it is, and so is Serverless.
    """
    if index.connection.serverless:
        return
    found = _physical(index, handle.physical)
    meta = meta_of(found.mapping)
    if meta is None or meta.restore:
        return
    have = found.settings.get("index", {})
    restore = {name: have.get(name) for name in _TUNED}
    indices.write_metadata(index, found, replace(meta, restore=restore))
    try:
        _set(index, handle.physical, _TUNED)
    except SetupError as error:
        log.warning("%s is loaded with the settings that it has: %s", handle.physical, error)


def restore_index_settings(index: IndexConfig, handle: IndexRef) -> None:
    """Put back what `tune` took away."""
    restore_settings(index, _physical(index, handle.physical))


def restore_settings(index: IndexConfig, found: Found) -> None:
    """Put back the settings that a load left behind, if it did."""
    meta = meta_of(found.mapping)
    if meta is None or not meta.restore:
        return
    _set(index, found.handle.physical, meta.restore)
    indices.write_metadata(index, found, replace(meta, restore={}))
    log.info("%s has its replicas and refreshes again", found.handle.physical)


def switch_alias(index: IndexConfig, physical: str) -> str:
    """Let the served alias stand on an index, in one request; returns where it stood before.

    Raises:
        SetupError: The name is a concrete index's, or there is no such index.
    """
    served = get_index(index)
    if served is not None and not served.handle.require_alias:
        raise SetupError(f"{describe_index(index)} is an index, not an alias, and cannot go over")
    old = served.handle.physical if served is not None else ""
    if old == physical:
        return old
    add = {"index": physical, "alias": index.index, "is_write_index": True}
    actions: list[Mapping[str, Any]] = [{"add": add}]
    if old:
        actions.append({"remove": {"index": old, "alias": index.index, "must_exist": True}})
    build = get_index(loading(index))
    if build is not None and build.handle.physical == physical:
        actions.append({"remove": {"index": physical, "alias": f"{index.index}{_LOADING}"}})
    try:
        index.connection.ask("POST", "/_aliases", body={"actions": actions})
    except SetupError:
        now = get_index(index)
        # Asked twice, since the first answer was lost, it finds nothing to remove.
        if now is None or now.handle.physical != physical:
            raise
    return old


def family(index: IndexConfig, state: str) -> list[IndexRef]:
    """Return this state's physical indices of a name, newest first, whatever alias they have."""
    prefix = f"{index.index}-"
    answer = index.connection.ask("GET", f"/{prefix}*", params={"expand_wildcards": "open"})
    found = [
        indices.found_as(index, name, name, body)
        for name, body in (answer or {}).items()
        if _TIME.fullmatch(name.removeprefix(prefix))
    ]
    mine = [one.handle for one in found if one.handle.state == state]
    return sorted(mine, key=lambda one: one.physical, reverse=True)


def prune(index: IndexConfig, state: str, keep: int) -> list[str]:
    """Delete old indices but the newest `keep`; returns their names."""
    served, build = get_index(index), get_index(loading(index))
    used = {found.handle.physical for found in (served, build) if found is not None}
    old = [one.physical for one in family(index, state) if one.physical not in used]
    for physical in old[keep:]:
        log.info("Deleting the old index %s", physical)
        indices.delete(index, physical)
    return old[keep:]


def check_options(index: IndexConfig, options: IndexOptions) -> None:
    """Raise `SetupError` for what is wanted of an index and cannot be had there."""
    if index.connection.serverless and options.force_merge is not None:
        raise SetupError(
            "index.force_merge: OpenSearch Serverless merges by itself; leave the option out"
        )


def wait_for_task(index: IndexConfig, task: str, seconds: float) -> None:
    """Wait for something that goes on in the server.

    Raises:
        SetupError: It is not done in time.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if index.connection.ask("GET", f"/_tasks/{task}").get("completed"):
            return
        time.sleep(_LOOK_S)
    raise SetupError(
        f"{describe_index(index)}: the merge takes longer than {seconds:g} s; promote it later"
    )


def _needs_rebuild(
    index: IndexConfig, served: Found | None, contents: IndexSpec, mode: str
) -> bool:
    """Whether a new index is to be built beside the served one."""
    if mode == "inplace":
        return False
    if served is None:
        return mode == "alias"
    handle = served.handle
    if not handle.require_alias:
        if mode == "alias":
            raise SetupError(
                f"{describe_index(index)} is an index, not an alias, and cannot go over to another; give "
                "index.mode=inplace, or another opensearch.index"
            )
        return False
    if mode == "alias":
        return True
    if not handle.generation or handle.state != contents.state:
        return False  # it is refused, or taken over as it is
    other = handle.recipe != contents.recipe
    return other or bool(indices.incompatibilities(index, served, contents))


def _build(index: IndexConfig, contents: IndexSpec, *, adopt: bool) -> IndexRef:
    beside = loading(index)
    found = get_index(beside)
    if found is not None:
        indices.check_owner(beside, found, contents, adopt=adopt)
        same = found.handle.recipe == contents.recipe
        if same and not indices.incompatibilities(beside, found, contents):
            log.info("Going on with %s, which was begun before", found.handle.physical)
            return replace(found.handle, served=False)
        log.info("Deleting %s: it was begun with another recipe", found.handle.physical)
        indices.delete(index, found.handle.physical)
    made = indices.create(beside, contents, index.index)
    if made is None:
        raise SetupError(f"another run builds an index beside {describe_index(index)}; wait for it")
    log.info("%s is built beside the index that is served", made.physical)
    return replace(made, served=False)


def _physical(index: IndexConfig, physical: str) -> Found:
    [(name, body)] = index.connection.ask("GET", f"/{physical}").items()
    return indices.found_as(index, name, name, body)


def _set(index: IndexConfig, physical: str, settings: Mapping[str, Any]) -> None:
    index.connection.ask("PUT", f"/{physical}/_settings", body={"index": dict(settings)})
