"""The bulk writer: every document's fate, in requests bounded by bytes and documents."""

from __future__ import annotations

import gzip
import logging
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from raypipe.coordination.limiter import Limiter, NoLimiter
from raypipe.core.book import Document
from raypipe.core.retry import full_jitter
from raypipe.core.stop import never_stopped
from raypipe.opensearch.bulk import error_policy as policy
from raypipe.opensearch.bulk.batch_size import MOST_REFUSED, AdaptiveBatchSize
from raypipe.opensearch.bulk.error_policy import Action, SinkError
from raypipe.opensearch.bulk.item import Item, answers_to, encoded, written_by
from raypipe.opensearch.bulk.lost_responses import LostResponseResolver
from raypipe.opensearch.bulk.prefetch import EncodePrefetcher
from raypipe.opensearch.bulk.results import LEFT, Ack, Counters, Rejected, Result
from raypipe.opensearch.bulk.retry_budget import RetryBudget
from raypipe.opensearch.index.config import IndexConfig, IndexRef
from raypipe.opensearch.index.reads import FATE, mget

__all__ = ["Ack", "BulkWriter", "Counters", "Rejected", "Result", "SinkError"]

log = logging.getLogger(__name__)

_ANSWER = "took,items.*._id,items.*._index,items.*.status,items.*.error.type,items.*.error.reason"


class BulkWriter:
    """Writes documents to one index, one bulk request at a time; one for each thread.

    Args:
        index: Where and how.
        handle: The index, from `ensure`.
        run_seq: The writing run's number, the version of all that it writes
            (`external_gte`): a task left over from an older run overwrites nothing newer.
        lane: Asked before each request; None = this writer is alone.
        stopped: Returns something while the run is asked to stop. What the server then does not
            take for a few seconds is `Rejected`, of the kind `LEFT`.
        sleep: Waits that many seconds; tests give their own.
        jitter: Seconds to wait before retry n; tests give their own.
        clock: Seconds, only ever growing; tests give their own.
    """

    def __init__(
        self,
        index: IndexConfig,
        handle: IndexRef,
        run_seq: int,
        *,
        lane: Limiter | None = None,
        stopped: Callable[[], object] = never_stopped,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[int], float] = full_jitter,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.counters = Counters()
        self._index = index
        self._handle = handle
        self._run_seq = run_seq
        self._lane = lane or NoLimiter()
        self._jitter, self._clock = jitter, clock
        self._patience = RetryBudget(index.retry_budget_s, stopped, sleep, clock)
        self._fates = LostResponseResolver(index, handle, self._patience)
        self._pace = AdaptiveBatchSize(index.max_bytes)
        self._renewed = False  # the credentials, since the last answer
        self._write_id = ""  # names the request, where documents have no ids
        self._trouble = ""

    def write(self, documents: Iterable[Document]) -> Iterator[list[Result]]:
        """Write documents; yields the results of each request as its answer arrives.

        Memory holds the lines of two requests, however many documents are given. Of documents
        with the same id the last one wins. Those that may pass ride with the next request, after
        a wait; when nothing was taken for `retry_budget_s`, they and the rest are
        `Rejected(kind="unavailable", retryable=True)`.

        Raises:
            SinkError: The index is gone, blocked or refuses these credentials.
        """
        fresh = EncodePrefetcher(documents, self._encoded, self._index.max_docs, self._pace.bytes)
        try:
            yield from self._write(fresh, deque())
        finally:
            fresh.close()

    def _write(self, fresh: EncodePrefetcher, queue: deque[Item]) -> Iterator[list[Result]]:
        settled_at = self._clock()
        while True:
            batch, results = self._next_batch(queue, fresh)
            if not batch and not results:
                return
            answered, again = self._send(self._rested(batch)) if batch else ([], [])
            now = self._clock()
            settled_at = now if answered else settled_at
            budget = self._patience.budget_s() if again else 0.0
            waiting = [item for item in again if not item.attempts or now - item.since < budget]
            expired = [item for item in again if item.attempts and now - item.since >= budget]
            results += [*answered, *(self._unavailable(item.book_id) for item in expired)]
            queue.extendleft(reversed(waiting))
            yield self._counted(results)
            if any(settled_at <= item.since for item in expired):
                yield from self._given_up(queue, fresh)
                return

    def _next_batch(
        self, queue: deque[Item], fresh: EncodePrefetcher
    ) -> tuple[list[Item], list[Result]]:
        """Return the next request's documents, and those that no request can carry."""
        batch: dict[str, Item] = {}
        refused: list[Result] = []
        size = 0
        while len(batch) + len(refused) < self._index.max_docs:
            item = queue.popleft() if queue else fresh.next()
            if item is None:
                break
            if isinstance(item, Rejected):
                refused.append(item)
                continue
            older = batch.get(item.book_id)
            grown = size + len(item.lines) - (len(older.lines) if older else 0)
            if batch and grown > self._pace.bytes:
                queue.appendleft(item)
                break
            self.counters.duplicates += batch.pop(item.book_id, None) is not None
            batch[item.book_id] = item
            size = grown
        fresh.prepare()
        return list(batch.values()), refused

    def _encoded(self, document: Document) -> Item | Rejected:
        dimension, has_ids = self._handle.dimension, self._index.has_ids
        return encoded(document, dimension, self._run_seq, has_ids=has_ids)

    def _rested(self, batch: list[Item]) -> list[Item]:
        """Return the batch after the wait that its retries ask for."""
        tries = max(item.attempts for item in batch)
        if tries:
            first = min(item.since for item in batch if item.attempts)
            left = self._patience.budget_s() - (self._clock() - first)
            delay = max(0.0, min(max(self._jitter(tries), self._pace.rested()), left))
            again = sum(item.attempts > 0 for item in batch)
            level = logging.WARNING if tries > 2 else logging.INFO
            message = "OpenSearch at %s: %d documents again in %.1f s, try %d (%s)"
            where = self._handle.endpoint
            log.log(level, message, where, again, delay, tries + 1, self._trouble)
            self._patience.rest(delay)
        return batch

    def _send(self, batch: list[Item]) -> tuple[list[Result], list[Item]]:
        """Send one request; returns what is settled and what to send again."""
        from opensearchpy.exceptions import OpenSearchException

        body = self._body(batch)
        self.counters.documents += len(batch)
        self.counters.retries += sum(item.attempts > 0 for item in batch)
        try:
            items = self._in_lane(batch, body)
        except OpenSearchException as error:
            return self._failed(batch, len(body), error)
        self._pace.taken()
        self._renewed = False
        if items is None:
            self.counters.statuses["half_answer"] += 1
            return self._unsure(batch, "an answer that is not one item for each document")
        self._pace.refused(len(body), _busy(items))
        return self._settled(batch, items)

    def _body(self, batch: list[Item]) -> bytes:
        if self._index.has_ids:
            return b"".join(item.lines for item in batch)
        self._write_id = uuid.uuid4().hex
        return b"".join(written_by(item.lines, self._write_id) for item in batch)

    def _in_lane(self, batch: list[Item], body: bytes) -> list[dict[str, Any]] | None:
        """Send a request when other writers leave room for it; returns the answer's items."""
        self._lane.enter()
        refused = False
        try:
            items = answers_to(batch, self._post(body), has_ids=self._index.has_ids)
            refused = _busy(items or []) >= MOST_REFUSED
            return items
        except Exception as error:
            refused = policy.status_of(error) == 429
            raise
        finally:
            self._lane.leave(refused=refused)

    def _post(self, body: bytes) -> Any:
        headers = {"content-type": "application/x-ndjson"}
        if self._index.connection.gzip:
            # Level 1: at 1,024 dimensions 18 times as fast as opensearch-py's 9, for a body 15 %
            # larger (measured: 9,784 against 527 documents a second).
            body, headers["content-encoding"] = gzip.compress(body, 1, mtime=0), "gzip"
        params = {"filter_path": _ANSWER}
        if self._handle.require_alias:
            params["require_alias"] = "true"
        self.counters.requests += 1
        self.counters.bytes_sent += len(body)
        began = time.perf_counter()
        path = f"/{self._handle.target}/_bulk"
        try:
            answer = self._index.connection.send(
                "POST", path, params=params, body=body, headers=headers
            )
        finally:
            self.counters.seconds += time.perf_counter() - began
        self.counters.took_ms += int(answer.get("took", 0)) if isinstance(answer, dict) else 0
        return answer

    def _failed(
        self, batch: list[Item], size: int, error: Exception
    ) -> tuple[list[Result], list[Item]]:
        """Settle a request that failed as a whole."""
        self.counters.statuses[policy.label_of(error)] += 1
        action = policy.request_action(error)
        if action is Action.RENEW and not self._renewed:
            self._renewed = True
            self._index.connection.renew()
            return [], batch
        if action in (Action.ABORT, Action.RENEW):
            raise self._abort(policy.status_of(error), policy.reason_of(error)) from None
        if action is Action.SPLIT and len(batch) > 1:
            self._pace.too_large(size)
            log.info("A bulk of %d bytes is too large there; now at most %d", size, size // 2)
            return [], batch
        if action is Action.SPLIT:
            message = f"the server refuses a document of {size:,} bytes as too large"
            return [Rejected(batch[0].book_id, "too_large", message, retryable=False)], []
        if action is Action.BISECT and len(batch) > 1:
            middle = len(batch) // 2
            left, left_again = self._send(batch[:middle])
            right, right_again = self._send(batch[middle:])
            return left + right, left_again + right_again
        if action is Action.BISECT:
            message = policy.reason_of(error)
            return [Rejected(batch[0].book_id, "rejected", message, retryable=False)], []
        self._pace.dropped(size, cut=policy.dropped(error))
        if policy.status_of(error) == 429:
            self._pace.refused(size)
        self._rest(policy.cause_of(error), getattr(error, "retry_after_s", None))
        trouble = f"{policy.label_of(error)} {policy.reason_of(error)}"
        if policy.may_have_arrived(error):
            return self._unsure(batch, trouble)
        return [], self._again(batch, trouble)

    def _settled(
        self, batch: list[Item], items: list[dict[str, Any]]
    ) -> tuple[list[Result], list[Item]]:
        """Settle each document by its own item of the answer."""
        results: list[Result] = []
        again: list[Item] = []
        conflicts: list[Item] = []
        unsure: list[Item] = []
        trouble = ""
        self.counters.statuses.update(str(answer["status"]) for answer in items)
        for item, answer in zip(batch, items, strict=True):
            status = answer["status"]
            action = policy.item_action(status)
            if action is Action.DONE:
                self._check_place(answer)
                self.counters.first_attempt_successes += not item.attempts
                results.append(Ack(item.book_id, "created" if status == 201 else "updated"))
                continue
            cause = answer.get("error") or {}
            if action is Action.ABORT:
                raise self._abort(status, policy.described(cause))
            if action is Action.CHECK:
                conflicts.append(item)
            elif action is Action.RETRY:
                self._rest(cause)
                trouble = f"{status} {policy.described(cause)}"
                if status in policy.REFUSED:
                    again += self._again([item], trouble)
                else:
                    unsure.append(item)
            else:
                kind, message = policy.kind_of(cause.get("type", "")), policy.described(cause)
                results.append(Rejected(item.book_id, kind, message, retryable=False))
        checked, unclear = self._checked(conflicts) if conflicts else ([], [])
        found, missing = self._unsure(unsure, trouble) if unsure else ([], [])
        return results + checked + found, again + unclear + missing

    def _unsure(self, items: list[Item], trouble: str) -> tuple[list[Result], list[Item]]:
        """Settle documents that the server may have or not; the others are to be sent again.

        With ids they are sent again in any case, which changes nothing. Without, that would
        double them: what a search shows after a while has arrived.
        """
        if self._index.has_ids:
            return [], self._again(items, trouble)
        ids = {item.book_id for item in items}
        there = self._fates.arrived(self._write_id, ids, trouble)
        missing = [item for item in items if item.book_id not in there]
        found: list[Result] = [Ack(book_id, "created") for book_id in ids & there]
        return found, self._again(missing, trouble) if missing else []

    def _checked(self, conflicts: list[Item]) -> tuple[list[Result], list[Item]]:
        """Settle version conflicts: the same document is acknowledged, any other stands above."""
        from opensearchpy.exceptions import OpenSearchException

        try:
            there = mget(self._index, self._handle, [item.book_id for item in conflicts], FATE)
        except OpenSearchException as error:
            if policy.request_action(error) is Action.RETRY:
                return [], self._again(conflicts, f"{policy.label_of(error)} on checking conflicts")
            raise self._abort(policy.status_of(error), policy.reason_of(error)) from None
        results: list[Result] = []
        for item in conflicts:
            found = there.get(item.book_id) or {}
            if (found.get("etag"), found.get("document_recipe")) == item.fate:
                self.counters.first_attempt_successes += not item.attempts
                results.append(Ack(item.book_id, "noop"))
            else:
                message = "a newer run has written another version of it"
                results.append(Rejected(item.book_id, "superseded", message, retryable=True))
        return results, []

    def _rest(self, cause: Any, retry_after_s: float | None = None) -> None:
        """Note how long to leave the server alone, and say so where a person must help."""
        full = policy.is_disk_full(cause)
        if full and not self._pace.rest_s:
            log.warning(
                "OpenSearch at %s: its disks are too full to write; free some, the run waits %g s",
                self._handle.endpoint,
                self._index.retry_budget_s,
            )
        self._pace.wait(retry_after_s, disk_full=full)

    def _again(self, items: list[Item], trouble: str) -> list[Item]:
        self._trouble = trouble
        now = self._clock()
        for item in items:
            item.since = item.since if item.attempts else now
            item.attempts += 1
        return items

    def _check_place(self, answer: dict[str, Any]) -> None:
        if answer.get("_index", self._handle.physical) != self._handle.physical:
            moved = f"the alias stands on {answer['_index']} now, not on {self._handle.physical}"
            raise self._abort(404, moved)

    def _abort(self, status: int, said: str) -> SinkError:
        return policy.abort_error(self._handle.endpoint, self._handle.alias, status, said)

    def _given_up(self, queue: deque[Item], fresh: EncodePrefetcher) -> Iterator[list[Result]]:
        chunk: list[Result] = [self._unavailable(item.book_id) for item in queue]
        for book_id in fresh.ids():
            chunk.append(self._unavailable(book_id))
            if len(chunk) >= self._index.max_docs:
                yield self._counted(chunk)
                chunk = []
        if chunk:
            yield self._counted(chunk)

    def _unavailable(self, book_id: str) -> Rejected:
        budget = self._index.retry_budget_s
        if self._patience.is_over():
            return Rejected(book_id, LEFT, f"not taken before the stop ({self._trouble})", True)
        message = f"OpenSearch took nothing for {budget:g} s ({self._trouble}); run again later"
        return Rejected(book_id, "unavailable", message, retryable=True)

    def _counted(self, results: list[Result]) -> list[Result]:
        self.counters.settle(results)
        return results


def _busy(items: list[dict[str, Any]]) -> float:
    """Return the share of documents that were refused because the server has too much to do."""
    refused = [item for item in items if item["status"] == 429]
    return len(refused) / max(1, len(items))
