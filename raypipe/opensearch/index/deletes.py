"""Deleting documents in bulk requests: those of books, and doubled ones where there are no ids."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import orjson

from raypipe.core.errors import SetupError
from raypipe.core.retry import full_jitter
from raypipe.opensearch.bulk import error_policy as policy
from raypipe.opensearch.bulk.error_policy import Action
from raypipe.opensearch.index.config import IndexConfig, IndexRef
from raypipe.opensearch.index.serverless import copies, copies_of

log = logging.getLogger(__name__)

_GONE = 404


def delete_books(
    index: IndexConfig, handle: IndexRef, book_ids: Sequence[str], run_seq: int
) -> None:
    """Delete documents; one that is gone already is no error, one of a newer run stays.

    Args:
        index: Where.
        handle: The index.
        book_ids: Ids of the books.
        run_seq: The version of what is deleted (`external_gte`).

    Raises:
        SetupError: The server does not do it, or not within `retry_budget_s`.
    """
    if index.has_ids:
        version = {"version": run_seq, "version_type": "external_gte"}
        _delete_all(index, handle, [{"_id": one, **version} for one in book_ids])
    else:
        found = copies_of(index, handle, book_ids)
        ids = [one.server_id for one in found if one.run_seq <= run_seq]
        _delete_all(index, handle, [{"_id": one} for one in ids])


def sweep(index: IndexConfig, handle: IndexRef) -> int:
    """Delete all but the newest document of each book, and return how many; 0 where ids are.

    Raises:
        SetupError: The server does not do it, or not within `retry_budget_s`.
    """
    if index.has_ids:
        return 0
    older = [
        {"_id": one.server_id}
        for newer, one in pairwise(copies(index, handle))
        if one.book_id == newer.book_id
    ]
    _delete_all(index, handle, older)
    if older:
        log.info("%s older or doubled documents of %s deleted", f"{len(older):,}", handle.physical)
    return len(older)


def _delete_all(index: IndexConfig, handle: IndexRef, actions: Sequence[dict[str, Any]]) -> None:
    for at in range(0, len(actions), index.max_docs):
        _delete(index, handle, actions[at : at + index.max_docs])


def _delete(index: IndexConfig, handle: IndexRef, actions: Sequence[dict[str, Any]]) -> None:
    end = time.monotonic() + index.retry_budget_s
    left, attempt = list(actions), 0
    while left:
        answer = _ask(index, handle, left)
        again = []
        for one, item in zip(left, answer, strict=True):
            status = item["status"]
            action = policy.item_action(status)
            if action is Action.RETRY:
                again.append(one)
            elif status != _GONE and action not in (Action.DONE, Action.CHECK):
                said = policy.described(item.get("error") or {})
                raise SetupError(f"{handle.target} at {handle.endpoint} deletes nothing: {said}")
        left, attempt = again, attempt + 1
        if left and time.monotonic() > end:
            raise SetupError(
                f"OpenSearch at {handle.endpoint} deleted nothing for {index.retry_budget_s:g} s; "
                "run again later"
            )
        if left:
            time.sleep(full_jitter(attempt))


def _ask(
    index: IndexConfig, handle: IndexRef, actions: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    body = b"".join(
        orjson.dumps({"delete": one}, option=orjson.OPT_APPEND_NEWLINE) for one in actions
    )
    params = {"require_alias": "true"} if handle.require_alias else None
    answer = index.connection.ask("POST", f"/{handle.target}/_bulk", params=params, body=body)
    return [item["delete"] for item in answer["items"]]
