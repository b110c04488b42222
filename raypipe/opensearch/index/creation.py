"""Create an index behind its alias, or accept an existing index that fits."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from raypipe.core.errors import SetupError
from raypipe.opensearch.index.admin import IndexAdmin, IndexDescription
from raypipe.opensearch.index.backend import backend_for
from raypipe.opensearch.index.compatibility import Differences, find_differences
from raypipe.opensearch.index.mapping import FIELDS, index_body, mapping_fingerprint
from raypipe.opensearch.index.metadata import IndexMetadata, new_metadata, read_metadata
from raypipe.opensearch.index.ref import IndexRef, IndexSpec, write_alias
from raypipe.opensearch.index.service_history import first_service
from raypipe.opensearch.index.write_checks import check_writable

log = logging.getLogger(__name__)

MAX_CREATE_TRIES = 3
_DIFFERENCES_SHOWN = 6


def get_or_create(admin: IndexAdmin, spec: IndexSpec, *, adopt: bool) -> IndexRef:
    """Return the index to write to; create it if it does not exist.

    Args:
        admin: The alias.
        spec: Content that the index must hold.
        adopt: Take over an index of another state, or one without raypipe's metadata.

    Raises:
        SetupError: The server or the index cannot be used.
    """
    for _ in range(MAX_CREATE_TRIES):
        description = admin.describe()
        if description is not None:
            return accept(admin, description, spec, adopt=adopt)
        created = create(admin, spec)
        if created is not None:
            return created
        log.info("Another run creates %s at the same time; using it", admin.config.index)
    raise SetupError(
        f"{admin.config.label} is created and deleted by other runs repeatedly; stop them"
    )


def create(admin: IndexAdmin, spec: IndexSpec, prefix: str = "") -> IndexRef | None:
    """Create an index and its aliases in one request; return None if another run was faster.

    `is_write_index` decides between two concurrent creators: the server refuses an alias with two
    write indices.

    Args:
        admin: The alias.
        spec: Content that the index must hold.
        prefix: Name of the physical index before the time; empty for the alias's name.
    """
    alias = admin.config.index
    metadata = new_metadata(spec, mapping_fingerprint())
    if not prefix:
        metadata = first_service(admin, metadata)
    physical = admin.free_name(prefix or alias)
    aliases = {name: {"is_write_index": True} for name in (alias, write_alias(physical))}
    body = {**_new_body(admin, spec, metadata), "aliases": aliases}
    try:
        shards_started = admin.create(physical, body)
    except SetupError:
        description = admin.describe()
        if description is None:
            raise
        # After a lost response, or a busy server that executed the request, it is this run's own.
        is_own = description.ref.generation == metadata.generation
        return replace(description.ref, created=True) if is_own else None
    if not shards_started:
        log.warning("%s is created, but its shards have not started yet", physical)
    backend_for(admin.config).wait_until_created(lambda: admin.describe() is not None)
    log.info("Created the index %s behind the alias %s", physical, alias)
    return IndexRef(
        alias=alias,
        physical=physical,
        generation=metadata.generation,
        endpoint=admin.config.connection.endpoint,
        created=True,
        content=replace(spec, embedder=metadata.as_dict()["embedder"]),
    )


def accept(
    admin: IndexAdmin, description: IndexDescription, spec: IndexSpec, *, adopt: bool
) -> IndexRef:
    """Return an existing index to write to.

    Raises:
        SetupError: It cannot be written, does not fit, or belongs to another state.
    """
    ref = description.ref
    differences = check_acceptable(admin, description, spec, adopt=adopt)
    if differences.older:
        _add_missing_fields(admin, description)
    admin.ensure_write_alias(ref.physical, description.aliases)
    if not ref.require_alias:
        log.info("%s is an index, not an alias: it is used in place", admin.config.index)
    if ref.generation and _describe(ref.content) == _describe(spec):
        return ref
    return _adopt(admin, description, spec)


def check_acceptable(
    admin: IndexAdmin, description: IndexDescription, spec: IndexSpec, *, adopt: bool
) -> Differences:
    """Check that a run can write an existing index; return how it differs from a new index.

    Raises:
        SetupError: It cannot be written, does not fit, or belongs to another state.
    """
    ref = description.ref
    check_owner(admin, description, spec, adopt=adopt)
    check_writable(admin, description)
    differences = compare(admin, description, spec)
    if differences.incompatible:
        beside = (
            "Build a new index beside it with index.mode=alias, d" if ref.require_alias else "D"
        )
        raise SetupError(
            f"{admin.config.label} ({ref.physical}) does not fit: "
            f"{_shorten(differences.incompatible)}. {beside}elete and recreate it with purge=true, "
            "or set another opensearch.index"
        )
    return differences


def _shorten(differences: Sequence[str]) -> str:
    """Return the first differences: an index of another program differs in each field."""
    more = len(differences) - _DIFFERENCES_SHOWN
    text = "; ".join(differences[:_DIFFERENCES_SHOWN])
    return f"{text}; and {more:,} more" if more > 0 else text


def compare(admin: IndexAdmin, description: IndexDescription, spec: IndexSpec) -> Differences:
    """Return how an index differs from the index that a run needs."""
    wanted = _new_body(admin, spec, new_metadata(spec))
    return find_differences(description.mapping, description.settings, wanted)


def check_owner(
    admin: IndexAdmin, description: IndexDescription, spec: IndexSpec, *, adopt: bool
) -> None:
    """Raise `SetupError` if an index belongs to another state, or to none."""
    ref = description.ref
    if adopt or (ref.generation and ref.content.state == spec.state):
        return
    if ref.generation:
        owner = f"belongs to the state {ref.content.state}, and this run's state is {spec.state}"
    else:
        owner = "was not created by raypipe"
    raise SetupError(
        f"{admin.config.label} ({ref.physical}) {owner}; set the state.uri of that state, another "
        "opensearch.index, or adopt=true to take the index over"
    )


def _describe(content: IndexSpec) -> tuple[str, ...]:
    """Return what the metadata says about the content, besides the embedder."""
    return content.state, content.recipe, content.summarizer, content.embedder_name


def _adopt(admin: IndexAdmin, description: IndexDescription, spec: IndexSpec) -> IndexRef:
    # The generation stays: this state's ledger has no book of this recipe in it, so every book
    # is written again.
    ref, metadata = description.ref, new_metadata(spec)
    before = read_metadata(description.mapping)
    if before is not None:
        metadata = replace(
            metadata,
            generation=before.generation,
            mapping=before.mapping,
            served=before.served,
            created_by=before.created_by,
            restore=before.restore,
        )
    if ref.content.state != spec.state:
        log.info("Took over %s for the state %s", ref.physical, spec.state)
    admin.write_metadata(description, metadata)
    content = replace(
        spec, dimension=ref.content.dimension, embedder=metadata.as_dict()["embedder"]
    )
    return replace(ref, generation=metadata.generation, content=content)


def _add_missing_fields(admin: IndexAdmin, description: IndexDescription) -> None:
    """Add the fields that raypipe has today to an index that an older raypipe made.

    Fields that differ keep their old mapping: the server does not change a field.
    """
    existing = description.mapping.get("properties", {})
    wanted = {**FIELDS, **backend_for(admin.config).extra_fields()}
    missing = {name: field for name, field in wanted.items() if name not in existing}
    if missing:
        admin.add_fields(description.ref.physical, missing)
        log.info("Added the fields %s to %s", ", ".join(missing), description.ref.physical)


def _new_body(admin: IndexAdmin, spec: IndexSpec, metadata: IndexMetadata) -> dict[str, Any]:
    backend = backend_for(admin.config)
    return index_body(
        spec.dimension,
        metadata,
        engine=admin.config.engine,
        settings=backend.index_settings(),
        extra_fields=backend.extra_fields(),
    )
