"""Delete documents in bulk requests."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from raypipe.core.errors import SetupError
from raypipe.core.retry import attempts
from raypipe.opensearch.bulk.error_policy import Action, item_action
from raypipe.opensearch.connection.errors import describe_cause
from raypipe.opensearch.index.config import IndexConfig
from raypipe.opensearch.index.ref import IndexRef

DeleteAction = Mapping[str, Any]
"""Metadata of a `delete` action: `_id`, and the version where the server takes versions."""
_NOT_FOUND = 404


def delete_documents(config: IndexConfig, ref: IndexRef, actions: Sequence[DeleteAction]) -> None:
    """Delete documents; a missing document and one of a newer version are no errors.

    Args:
        config: Connection and limits of bulk requests.
        ref: The index.
        actions: Documents to delete.

    Raises:
        SetupError: The server refuses, or does not delete within `retry_budget_s`.
    """
    for start in range(0, len(actions), config.max_docs):
        _delete_batch(config, ref, actions[start : start + config.max_docs])


def _delete_batch(config: IndexConfig, ref: IndexRef, actions: Sequence[DeleteAction]) -> None:
    remaining = actions
    for attempt in attempts(tries=1, within_s=config.retry_budget_s, sleep=time.sleep):
        remaining = _delete_once(config, ref, remaining)
        if not remaining:
            return
        if attempt.is_last:
            raise SetupError(
                f"OpenSearch at {ref.endpoint} deleted nothing for {config.retry_budget_s:g} s; "
                "run again later"
            )


def _delete_once(
    config: IndexConfig, ref: IndexRef, actions: Sequence[DeleteAction]
) -> list[DeleteAction]:
    """Send one bulk request; return the actions to repeat."""
    body = b"".join(
        orjson.dumps({"delete": action}, option=orjson.OPT_APPEND_NEWLINE) for action in actions
    )
    params = {"require_alias": "true"} if ref.require_alias else None
    response = config.connection.ask("POST", f"/{ref.target}/_bulk", params=params, body=body)
    results = [item["delete"] for item in response["items"]]
    retries = []
    for action, result in zip(actions, results, strict=True):
        status = result["status"]
        decision = item_action(status)
        if decision is Action.RETRY:
            retries.append(action)
        elif status != _NOT_FOUND and decision not in (Action.DONE, Action.CHECK):
            reason = describe_cause(result.get("error") or {})
            raise SetupError(f"{ref.target} at {ref.endpoint} refuses deletes: {reason}")
    return retries
