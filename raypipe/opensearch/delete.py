"""Deleting documents by id, in bulk requests with the run's version."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import orjson

from raypipe.errors import SetupError
from raypipe.opensearch import bulk_policy as policy
from raypipe.opensearch.bulk_policy import Action
from raypipe.opensearch.settings import IndexHandle, OpenSearchIndex
from raypipe.retry import full_jitter

_GONE = 404


def delete_books(
    index: OpenSearchIndex, handle: IndexHandle, book_ids: Sequence[str], run_seq: int
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
    for at in range(0, len(book_ids), index.max_docs):
        _delete(index, handle, book_ids[at : at + index.max_docs], run_seq)


def _delete(
    index: OpenSearchIndex, handle: IndexHandle, book_ids: Sequence[str], run_seq: int
) -> None:
    end = time.monotonic() + index.retry_budget_s
    left, attempt = list(book_ids), 0
    while left:
        answer = _ask(index, handle, left, run_seq)
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
    index: OpenSearchIndex, handle: IndexHandle, book_ids: Sequence[str], run_seq: int
) -> list[dict[str, Any]]:
    version = {"version": run_seq, "version_type": "external_gte"}
    body = b"".join(
        orjson.dumps({"delete": {"_id": one, **version}}, option=orjson.OPT_APPEND_NEWLINE)
        for one in book_ids
    )
    params = {"require_alias": "true"} if handle.require_alias else None
    answer = index.connection.ask("POST", f"/{handle.target}/_bulk", params=params, body=body)
    return [item["delete"] for item in answer["items"]]
