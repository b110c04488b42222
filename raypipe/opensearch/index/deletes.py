"""Delete documents in bulk requests."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from raypipe.core.errors import SetupError
from raypipe.core.retry import attempts
from raypipe.opensearch.bulk.error_policy import Action, request_action, status_action
from raypipe.opensearch.bulk.item import parse_results
from raypipe.opensearch.bulk.obstacles import MOVED, find_obstacle
from raypipe.opensearch.connection.errors import describe_cause, reason_of
from raypipe.opensearch.index.config import IndexConfig
from raypipe.opensearch.index.reads import get_cells
from raypipe.opensearch.index.ref import IndexRef

log = logging.getLogger(__name__)

DeleteAction = Mapping[str, Any]
"""Metadata of a `delete` action: `_id`, and the version where the server takes versions."""
_DELETED = ("deleted", "not_found")
_IDS_SHOWN = 5


@dataclass
class _Round:
    """What one request has left: deletes to repeat, and documents of newer runs by id."""

    retries: list[DeleteAction] = field(default_factory=list)
    newer: dict[str, int] = field(default_factory=dict)


def delete_documents(config: IndexConfig, ref: IndexRef, actions: Sequence[DeleteAction]) -> None:
    """Delete documents; a missing document is no error.

    Args:
        config: Connection and limits of bulk requests.
        ref: The index.
        actions: Documents to delete.

    Raises:
        SetupError: The server refuses, does not delete within `retry_budget_s`, or has documents
            of a newer run.
    """
    for start in range(0, len(actions), config.max_docs):
        _delete_batch(config, ref, actions[start : start + config.max_docs])


def _delete_batch(config: IndexConfig, ref: IndexRef, actions: Sequence[DeleteAction]) -> None:
    remaining = actions
    newer: dict[str, int] = {}
    for attempt in attempts(tries=1, within_s=config.retry_budget_s, sleep=time.sleep):
        left = _delete_once(config, ref, remaining)
        remaining, newer = left.retries, newer | left.newer
        if not remaining:
            break
        if attempt.is_last:
            raise SetupError(
                f"OpenSearch at {ref.endpoint} deleted nothing for {config.retry_budget_s:g} s; "
                "run again later"
            )
    if newer:
        ids = ", ".join(sorted(newer)[:_IDS_SHOWN])
        raise SetupError(
            f"{len(newer):,} documents of {ref.physical} at {ref.endpoint} are not deleted "
            f"({ids}): run {max(newer.values())}, which is newer than this run, has written them. "
            "Run again; if another state writes this index, set another opensearch.index for it"
        )


def _delete_once(config: IndexConfig, ref: IndexRef, actions: Sequence[DeleteAction]) -> _Round:
    """Send one bulk request; return what it has left."""
    body = b"".join(
        orjson.dumps({"delete": action}, option=orjson.OPT_APPEND_NEWLINE) for action in actions
    )
    params = {"require_alias": "true"}
    response = config.connection.ask("POST", f"/{ref.target}/_bulk", params=params, body=body)
    results = parse_results(actions, response)
    if isinstance(results, str):
        log.info("OpenSearch at %s: deletes are sent again: %s", ref.endpoint, results)
        return _Round(retries=list(actions))
    left, conflicts = _Round(), list[DeleteAction]()
    for action, result in zip(actions, results, strict=True):
        cause = result.get("error")
        decision = status_action(result["status"])
        if cause is None and result.get("result") in _DELETED:
            if result.get("_index") != ref.physical:
                raise _refusal(ref, f"a delete went to {result.get('_index')}", MOVED)
        elif obstacle := find_obstacle(cause):
            raise _refusal(ref, describe_cause(cause or {}), obstacle)
        elif decision is Action.CHECK:
            conflicts.append(action)
        elif decision in (Action.RETRY, Action.DONE):
            left.retries.append(action)
        else:
            raise _refusal(ref, describe_cause(cause or {}))
    if conflicts:
        _look_up(config, ref, conflicts, left)
    return left


def _look_up(
    config: IndexConfig, ref: IndexRef, conflicts: Sequence[DeleteAction], left: _Round
) -> None:
    """Find out which documents with a version conflict are still there.

    A document of a newer run stays. A document that another program has changed has a newer
    version only, and is deleted in that version.
    """
    from opensearchpy.exceptions import OpenSearchException

    try:
        ids = [action["_id"] for action in conflicts]
        cells = get_cells(config.connection, ref.physical, ids, ["run_seq"])
    except OpenSearchException as error:
        if request_action(error) is not Action.RETRY:
            raise _refusal(ref, reason_of(error)) from None
        left.retries += conflicts
        return
    for action in conflicts:
        cell = cells[action["_id"]]
        if cell is None:
            continue
        written_by = int(cell["_source"].get("run_seq") or 0)
        if written_by > action.get("version", written_by):
            left.newer[action["_id"]] = written_by
        elif "version" in action:
            left.retries.append({**action, "version": cell["_version"]})
        else:
            left.retries.append(action)


def _refusal(ref: IndexRef, reason: str, obstacle: str = "") -> SetupError:
    cause = obstacle.format(index=ref.physical, alias=ref.target)
    explained = f"{cause}: {reason}" if cause else reason
    return SetupError(f"{ref.physical} at {ref.endpoint} refuses deletes: {explained}")
