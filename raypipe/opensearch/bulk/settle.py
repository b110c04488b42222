"""Settle the documents of a bulk request: acknowledged, rejected, or to be sent again."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic

from raypipe.opensearch.bulk.batch_size import AdaptiveBatchSize
from raypipe.opensearch.bulk.error_policy import Action, item_action, request_action
from raypipe.opensearch.bulk.item import BulkItem
from raypipe.opensearch.bulk.refusals import ItemResult, Refusals
from raypipe.opensearch.bulk.request import BulkRequest, BulkSender, refused_share
from raypipe.opensearch.bulk.results import Ack, Counters, Outcome, Rejected, Result
from raypipe.opensearch.bulk.retry_budget import RetryBudget
from raypipe.opensearch.bulk.strategy import D, WriteStrategy
from raypipe.opensearch.bulk.target import BulkTarget
from raypipe.opensearch.connection.errors import (
    NOT_EXECUTED_STATUS,
    cause_of,
    describe_cause,
    is_connection_cut,
    is_disk_full,
    is_foreign,
    label_of,
    may_have_arrived,
    reason_of,
    status_of,
)

log = logging.getLogger(__name__)

FOREIGN = "a proxy or firewall before OpenSearch"
_VERSION = re.compile(r"current version \[(\d{1,18})\]")


@dataclass
class Settlement:
    """Outcomes of one batch: settled documents, and documents to send again."""

    results: list[Result] = field(default_factory=list)
    retries: list[BulkItem] = field(default_factory=list)

    def add(self, other: Settlement) -> None:
        """Append another settlement."""
        self.results += other.results
        self.retries += other.retries


class BatchSettler(Generic[D]):
    """Send batches and settle each document by its own result.

    Args:
        target: The index.
        strategy: Knows which writes the index has.
        sender: Sends one request.
        batch_size: Learns from refused and successful requests.
        budget: Bounds the search for documents with unknown outcome.
        counters: Counts documents and statuses.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        target: BulkTarget,
        strategy: WriteStrategy[D],
        sender: BulkSender[D],
        batch_size: AdaptiveBatchSize,
        budget: RetryBudget,
        counters: Counters,
        clock: Callable[[], float],
    ) -> None:
        self.last_trouble = ""
        """Why documents were last sent again, for messages."""
        self._target = target
        self._strategy = strategy
        self._sender = sender
        self._batch_size = batch_size
        self._budget = budget
        self._counters = counters
        self._clock = clock
        self._has_renewed = False  # credentials, since the last response
        self._is_bisecting = False
        self._refusals = Refusals(target, strategy)

    def send(self, items: Sequence[BulkItem]) -> Settlement:
        """Send one request and settle its documents.

        Raises:
            SinkError: The index is deleted, blocked or refuses these credentials.
        """
        from opensearchpy.exceptions import OpenSearchException

        request = self._sender.build(items)
        self._counters.documents += len(items)
        self._counters.retries += sum(item.attempts > 0 for item in items)
        try:
            results = self._sender.send(request)
        except OpenSearchException as error:
            return self._settle_failure(request, error)
        self._batch_size.record_response()
        self._has_renewed = False
        if isinstance(results, str):
            self._counters.statuses["half_answer"] += 1
            return self._settle_unknown(request.request_id, items, results)
        self._batch_size.record_refused(len(request.body), refused_share(results))
        return self._settle_results(request, results)

    def _settle_failure(self, request: BulkRequest, error: Exception) -> Settlement:
        """Settle a request that failed as a whole; see `REQUEST_ACTIONS`."""
        self._counters.statuses[label_of(error)] += 1
        action = request_action(error)
        if action is Action.RENEW and not self._has_renewed:
            self._has_renewed = True
            self._target.connection.renew()
            return Settlement(retries=list(request.items))
        if action in (Action.ABORT, Action.RENEW):
            raise self._target.abort_error_for(error) from None
        if action is Action.SPLIT:
            return self._split(request)
        if action is Action.BISECT:
            return self._bisect(request, error)
        size = len(request.body)
        self._batch_size.record_no_response(size, was_cut=is_connection_cut(error))
        if status_of(error) == 429:
            self._batch_size.record_refused(size)
        self._require_wait(cause_of(error), getattr(error, "retry_after_s", None))
        trouble = f"{label_of(error)} {reason_of(error)}"
        if may_have_arrived(error):
            return self._settle_unknown(request.request_id, request.items, trouble)
        return Settlement(retries=self._mark_failed(request.items, trouble))

    def _split(self, request: BulkRequest) -> Settlement:
        """Send a request's documents again in smaller requests; reject a single document."""
        size = len(request.body)
        if len(request.items) > 1:
            self._batch_size.record_too_large(size)
            log.info("A bulk request of %d bytes is too large; limit is now %d", size, size // 2)
            return Settlement(retries=list(request.items))
        message = f"the server refuses a document of {size:,} bytes as too large"
        doc_id = request.items[0].doc_id
        return Settlement([Rejected(doc_id, "too_large", message, retryable=False)])

    def _bisect(self, request: BulkRequest, error: Exception) -> Settlement:
        """Send both halves of a request to find its invalid document; reject a single document.

        Raises:
            SinkError: A proxy or firewall refuses each document of the request.
        """
        status = status_of(error)
        if len(request.items) == 1:
            reason = f"{FOREIGN} refused the document (status {status})"
            message = f"{reason}; let it pass there, then run again"
            message = message if is_foreign(error) else reason_of(error)
            rejected = Rejected(request.items[0].doc_id, "rejected", message, retryable=True)
            return Settlement([rejected])
        is_outermost, self._is_bisecting = not self._is_bisecting, True
        try:
            middle = len(request.items) // 2
            settlement = self.send(request.items[:middle])
            settlement.add(self.send(request.items[middle:]))
        finally:
            self._is_bisecting = not is_outermost
        rejected_all = all(isinstance(result, Rejected) for result in settlement.results)
        if is_outermost and is_foreign(error) and rejected_all and not settlement.retries:
            raise self._target.abort_error(status, "", f"{FOREIGN} refuses every document")
        return settlement

    def _settle_results(
        self, request: BulkRequest, results: Sequence[Mapping[str, Any]]
    ) -> Settlement:
        """Settle each document by its own result; see `item_action`."""
        settlement = Settlement()
        conflicts: list[ItemResult] = []
        refused: list[ItemResult] = []
        unknown: list[BulkItem] = []
        trouble = ""
        target = self._target
        self._counters.statuses.update(str(result["status"]) for result in results)
        for item, result in zip(request.items, results, strict=True):
            status = result["status"]
            action = item_action(result, target.physical, target.name)
            if action is Action.DONE:
                outcome: Outcome = "created" if status == 201 else "updated"
                settlement.results.append(self._acknowledge(item, outcome))
            elif action is Action.ABORT:
                raise target.abort_error_of(result)
            elif action is Action.CHECK:
                conflicts.append((item, result))
            elif action is Action.RETRY and not self._refusals.is_pipeline_failure(item, status):
                cause = result.get("error") or {}
                self._require_wait(cause)
                trouble = f"{status} {describe_cause(cause)}"
                if status in NOT_EXECUTED_STATUS:
                    settlement.retries += self._mark_failed([item], trouble)
                else:
                    unknown.append(item)
            else:
                refused.append((item, result))
        if conflicts:
            settlement.add(self._settle_conflicts(conflicts))
        if refused:
            settlement.add(self._settle_refused(refused))
        if unknown:
            settlement.add(self._settle_unknown(request.request_id, unknown, trouble))
        return settlement

    def _settle_unknown(
        self, request_id: str, items: Sequence[BulkItem], trouble: str
    ) -> Settlement:
        """Settle documents that may have been written; the others are sent again."""
        ids = {item.doc_id for item in items}
        written = self._strategy.find_written(request_id, ids, trouble, self._budget)
        missing = [item for item in items if item.doc_id not in written]
        retries = self._mark_failed(missing, trouble) if missing else []
        return Settlement([Ack(doc_id, "created") for doc_id in ids & written], retries)

    def _settle_conflicts(self, conflicts: Sequence[ItemResult]) -> Settlement:
        """Settle version conflicts by the documents in the index.

        Equal content is acknowledged, the content of a newer run stays. Any other document was
        changed by another program, or deleted: it is written over its version on the server.
        """
        from opensearchpy.exceptions import OpenSearchException

        items = [item for item, _ in conflicts]
        try:
            indexed = self._strategy.read_indexed([item.doc_id for item in items])
        except OpenSearchException as error:
            return self._retry_after(error, items, "on checking conflicts")
        settlement = Settlement()
        for item, result in conflicts:
            found = indexed.get(item.doc_id)
            if found is not None and found.content_key == item.content_key:
                settlement.results.append(self._acknowledge(item, "noop"))
            elif found is not None and found.is_newer:
                message = "a newer run has written another version of it"
                rejected = Rejected(item.doc_id, "superseded", message, retryable=True)
                settlement.results.append(rejected)
            else:
                cause = result.get("error") or {}
                version = found.version if found is not None else conflicting_version(cause)
                newer = self._strategy.with_version(item, version)
                settlement.retries += self._mark_failed([newer], describe_cause(cause))
        return settlement

    def _settle_refused(self, refused: Sequence[ItemResult]) -> Settlement:
        """Reject documents that the index or its ingest pipeline refuses."""
        from opensearchpy.exceptions import OpenSearchException

        try:
            self._refusals.find_pipelines()
        except OpenSearchException as error:
            items = [item for item, _ in refused]
            return self._retry_after(error, items, "on reading the settings of the index")
        return Settlement([self._refusals.reject(item, result) for item, result in refused])

    def _retry_after(
        self, error: Exception, items: Sequence[BulkItem], activity: str
    ) -> Settlement:
        """Send documents again after a failed look-up; raise `SinkError` if it fails for good."""
        if request_action(error) is not Action.RETRY:
            raise self._target.abort_error_for(error) from None
        return Settlement(retries=self._mark_failed(items, f"{label_of(error)} {activity}"))

    def _acknowledge(self, item: BulkItem, outcome: Outcome) -> Ack:
        self._counters.first_attempt_successes += not item.attempts
        return Ack(item.doc_id, outcome)

    def _mark_failed(self, items: Collection[BulkItem], trouble: str) -> list[BulkItem]:
        self.last_trouble = trouble
        now = self._clock()
        for item in items:
            item.failed_at = item.failed_at if item.attempts else now
            item.attempts += 1
        return list(items)

    def _require_wait(self, cause: Any, retry_after_s: float | None = None) -> None:
        """Note the wait that a server asks for; warn if its disks are full."""
        disk_full = is_disk_full(cause)
        if disk_full and not self._batch_size.has_wait:
            log.warning(
                "OpenSearch at %s: its disks are too full to write; free some space, the run "
                "retries for %g s",
                self._target.endpoint,
                self._target.retry_budget_s,
            )
        self._batch_size.require_wait(retry_after_s, disk_full=disk_full)


def conflicting_version(cause: Mapping[str, Any]) -> int:
    """Return the version on the server that a conflict names, or 0."""
    match = _VERSION.search(str(cause.get("reason", "")))
    return int(match[1]) if match else 0
