"""Build a new index beside the served one, and switch the alias to it.

A build has the alias `<index>-loading`: a run after a kill finds the index there and continues it.
The request that switches the served alias removes that alias.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from raypipe.core.errors import SetupError
from raypipe.opensearch.index.admin import IndexAdmin, IndexDescription
from raypipe.opensearch.index.creation import (
    accept,
    check_acceptable,
    check_owner,
    compare,
    create,
    get_or_create,
)
from raypipe.opensearch.index.load_settings import restore_settings
from raypipe.opensearch.index.ref import LOADING, IndexRef, IndexSpec
from raypipe.opensearch.index.service_history import record_missing_history, record_service
from raypipe.opensearch.index.write_checks import check_open, check_writable

log = logging.getLogger(__name__)


def open_for_writing(
    served: IndexAdmin, spec: IndexSpec, *, mode: str = "auto", adopt: bool = False
) -> IndexRef:
    """Return the index that a run writes to: the served one, or a build beside it.

    Args:
        served: The served alias; its server was checked.
        spec: Content that the index must hold.
        mode: One of `raypipe.core.options.INDEX_MODES`.
        adopt: Take over an index of another state, or one without raypipe's metadata.

    Raises:
        SetupError: The server or the index cannot be used.
    """
    description = served.describe()
    if description is not None:
        check_open(served, description)  # a run deletes books from it, too
        restore_settings(served, description)
        if description.ref.content.state == spec.state:
            description = record_missing_history(served, served.describe() or description)
    if not _needs_rebuild(served, description, spec, mode, adopt=adopt):
        return get_or_create(served, spec, adopt=adopt)
    if description is not None:
        check_owner(served, description, spec, adopt=adopt)
    return _open_build(served, spec, adopt=adopt)


def check_usable(served: IndexAdmin, spec: IndexSpec, *, mode: str, adopt: bool) -> bool:
    """Check what `open_for_writing` checks on the served index, without changing anything.

    Returns:
        Whether `open_for_writing` would create an index.

    Raises:
        SetupError: The index cannot be used.
    """
    description = served.describe()
    if description is not None:
        check_open(served, description)
    if _needs_rebuild(served, description, spec, mode, adopt=adopt):
        if description is not None:
            check_owner(served, description, spec, adopt=adopt)
        build = describe_build(served)
        return build is None or not _can_hold(loading_admin(served), build, spec)
    if description is not None:
        check_acceptable(served, description, spec, adopt=adopt)
    return description is None


def loading_admin(served: IndexAdmin) -> IndexAdmin:
    """Return the alias of the index that is built beside the served one."""
    return IndexAdmin(replace(served.config, index=f"{served.config.index}{LOADING}"))


def describe_build(served: IndexAdmin) -> IndexDescription | None:
    """Return the index that is being built, or None.

    Raises:
        SetupError: The alias of the build points at another index, which is never touched.
    """
    loading = loading_admin(served)
    description = loading.describe()
    if description is None:
        return None
    physical = description.ref.physical
    if not served.is_own_name(physical):
        raise SetupError(
            f"{loading.config.index} is raypipe's alias of an index that is built beside "
            f"{served.config.index}, but it points at {physical}, which is another index; give "
            "that another name, or set another opensearch.index"
        )
    return replace(description, ref=replace(description.ref, served=False))


def switch_alias(served: IndexAdmin, physical: str) -> str:
    """Atomically point the served alias at an index; return the previous one, or ''.

    Raises:
        SetupError: The name belongs to a concrete index, or there is no such index.
    """
    description = served.describe()
    if description is not None and not description.ref.require_alias:
        raise SetupError(f"{served.config.label} is an index, not an alias, and cannot be switched")
    previous = description.ref.physical if description is not None else ""
    if previous == physical:
        return previous
    alias = served.config.index
    options = description.aliases.get(alias, {}) if description is not None else {}
    # A filter or routing that the user gave the alias stays: it may hide documents on purpose.
    add = {**options, "index": physical, "alias": alias, "is_write_index": True}
    actions: list[Mapping[str, Any]] = [{"add": add}]
    if previous:
        actions.append({"remove": {"index": previous, "alias": alias, "must_exist": True}})
    loading = loading_admin(served)
    build = describe_build(served)
    if build is not None and build.ref.physical == physical:
        actions.append({"remove": {"index": physical, "alias": loading.config.index}})
    record_service(served, physical, previous)
    try:
        served.update_aliases(actions)
    except SetupError:
        current = served.describe()
        # A retry after a lost response finds nothing to remove, and fails.
        if current is None or current.ref.physical != physical:
            raise
    return previous


def _needs_rebuild(
    served: IndexAdmin,
    description: IndexDescription | None,
    spec: IndexSpec,
    mode: str,
    *,
    adopt: bool,
) -> bool:
    """Return whether a new index is to be built beside the served one."""
    if mode == "inplace":
        return False
    if description is None:
        return mode == "alias"
    ref = description.ref
    if not ref.require_alias:
        if mode == "alias":
            raise SetupError(
                f"{served.config.label} is an index, not an alias, and cannot be switched to "
                "another; set index.mode=inplace, or another opensearch.index"
            )
        return False
    if mode == "alias":
        return True
    if not ref.generation or (ref.content.state != spec.state and not adopt):
        return False  # it is refused, or adopted as it is
    return not _can_hold(served, description, spec)


def _can_hold(admin: IndexAdmin, description: IndexDescription, spec: IndexSpec) -> bool:
    """Return whether a run can write its documents into an index."""
    ref, differences = description.ref, compare(admin, description, spec)
    if spec.upgrade and (differences.older or ref.generation in spec.outdated):
        return False
    return spec.accepts(ref.content.recipe) and not differences.incompatible


def _open_build(served: IndexAdmin, spec: IndexSpec, *, adopt: bool) -> IndexRef:
    """Return the build that was begun for the same content, or a new one."""
    loading = loading_admin(served)
    description = describe_build(served)
    if description is not None:
        check_writable(loading, description)
        check_owner(loading, description, spec, adopt=adopt)
        physical = description.ref.physical
        if _can_hold(loading, description, spec):
            log.info("Continuing the build of %s", physical)
            return replace(accept(loading, description, spec, adopt=adopt), served=False)
        log.info("Deleting %s: its build was begun with another recipe", physical)
        served.delete(physical)
    created = create(loading, spec, served.config.index)
    if created is None:
        raise SetupError(
            f"another run builds an index beside {served.config.label}; wait until it ends"
        )
    log.info("Building %s beside the served index", created.physical)
    return replace(created, served=False)
