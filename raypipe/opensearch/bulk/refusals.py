"""Tell documents that an index refuses from documents that its ingest pipeline refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic

from raypipe.opensearch.bulk.error_policy import LASTING_KINDS, failure_kind
from raypipe.opensearch.bulk.item import BulkItem
from raypipe.opensearch.bulk.obstacles import MOVED
from raypipe.opensearch.bulk.results import Rejected
from raypipe.opensearch.bulk.strategy import D, WriteStrategy
from raypipe.opensearch.bulk.target import BulkTarget
from raypipe.opensearch.connection.errors import describe_cause

ItemResult = tuple[BulkItem, Mapping[str, Any]]
"""A document and its result."""
PIPELINE_RETRIES = 2
"""Times that a document is sent again before an error may be its pipeline's."""
_ERROR = 500
"""Status of a failed pipeline, and of many errors that pass."""


class Refusals(Generic[D]):
    """Rejects documents; reads the pipelines of the index at the first rejection.

    Args:
        target: The index.
        strategy: Knows its pipelines.
    """

    def __init__(self, target: BulkTarget, strategy: WriteStrategy[D]) -> None:
        self._target = target
        self._strategy = strategy
        self._pipelines: tuple[str, ...] | None = None

    def find_pipelines(self) -> tuple[str, ...]:
        """Return the names of the ingest pipelines of the index.

        Raises:
            opensearchpy.exceptions.OpenSearchException: The request failed; it is not retried.
        """
        if self._pipelines is None:
            self._pipelines = tuple(self._strategy.find_pipelines())
        return self._pipelines

    def is_pipeline_failure(self, item: BulkItem, status: int) -> bool:
        """Return whether not to repeat a document, because its pipeline fails on it each time."""
        from opensearchpy.exceptions import OpenSearchException

        if status != _ERROR or item.attempts < PIPELINE_RETRIES:
            return False
        try:
            return bool(self.find_pipelines())
        except OpenSearchException:
            return False

    def reject(self, item: BulkItem, result: Mapping[str, Any]) -> Rejected:
        """Return the rejection of a document, after `find_pipelines`.

        Raises:
            SinkError: Another index has the document, and no pipeline sent it there: the alias was
                moved.
        """
        cause, written_to = result.get("error"), result.get("_index")
        pipelines = ", ".join(self._pipelines or ())
        if cause is None and result.get("result") == "noop":
            return _by_pipeline(item, f"the ingest pipeline {pipelines} dropped the document")
        own = (None, self._target.physical, self._target.name)
        if self._target.physical and written_to not in own:
            if not pipelines:
                reason = f"a document went to {written_to}"
                raise self._target.abort_error(result["status"], reason, MOVED)
            message = f"the ingest pipeline {pipelines} sent the document to the index {written_to}"
            return _by_pipeline(item, message)
        cause = cause or {"type": f"status {result['status']}"}
        message = describe_cause(cause)
        if pipelines:
            return _by_pipeline(item, f"{message} (after the ingest pipeline {pipelines})")
        kind = failure_kind(cause.get("type", ""), cause.get("reason", ""))
        return Rejected(item.doc_id, kind, message, retryable=kind not in LASTING_KINDS)


def _by_pipeline(item: BulkItem, message: str) -> Rejected:
    return Rejected(item.doc_id, "pipeline", message, retryable=True)
