"""Estimate the requests of a run to S3, for its source and its state, and what they cost.

The fixed numbers were counted on runs; a test compares the estimate with the requests of a run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from raypipe.core.book import BYTES_A_NUMBER
from raypipe.ledger.answer_cache import MAX_LOOKUPS
from raypipe.ledger.facade import COMPACT_AT, Ledger
from raypipe.ledger.writer_lock import LockTiming
from raypipe.quota.prices import S3Prices
from raypipe.run.group_commit import GroupLimits
from raypipe.run.job import Job
from raypipe.run.planner import RunPlan
from raypipe.run.progress_file import INTERVAL_S

CALL_S = 5.0
"""Typical time of a model call, where no quota tells how long a run takes."""

_PAGE_KEYS = 1000
_BYTES_OF_DOCUMENT = 3_000
_START_LISTS, _WORK_LISTS = 11, 12
"""Listings of the state: by every run, and by a run with books to do besides."""
_START_PUTS, _WORK_PUTS = 8, 8
_START_GETS = 3
_PROCESSED_READS, _DOCUMENTS_READS = 2, 1
"""How often every run reads each part that was there before."""


@dataclass(frozen=True)
class RequestEstimate:
    """The requests of a run to S3; zeros where source or state are not on S3.

    Args:
        source_lists: LIST requests for the listing of the source.
        source_gets: GET requests for books.
        groups: Groups of documents that are committed together.
        state_puts: PUT requests to the state.
        state_lists: LIST requests to the state.
        state_gets: GET requests to the state.
        usd: Dollars, at the prices of `conf/prices`.
    """

    source_lists: int = 0
    source_gets: int = 0
    groups: int = 0
    state_puts: int = 0
    state_lists: int = 0
    state_gets: int = 0
    usd: float = 0.0


@dataclass(frozen=True)
class RequestFactors:
    """What the number of requests depends on.

    Args:
        listed: Number of listed books.
        to_read: Number of books to read.
        ready: Number of finished books to index.
        calls: Number of model calls of summaries.
        embedding_calls: Number of model calls of embeddings.
        hours: Hours at the quota; None if no quota is given.
        max_in_flight: Most model calls at a time.
        dimension: Length of the vectors.
        max_docs: Most documents of a group.
        max_bytes: Most bytes of a group.
        flush_s: Longest time in seconds that a document waits for its group.
    """

    listed: int
    to_read: int
    ready: int
    calls: int = 0
    embedding_calls: int = 0
    hours: float | None = None
    max_in_flight: int = 64
    dimension: int = 0
    max_docs: int = 1000
    max_bytes: int = 8 << 20
    flush_s: float = GroupLimits.flush_s

    @property
    def duration_s(self) -> float:
        """Return how long the models need, in seconds; 0 for a run without a model."""
        if self.hours is not None:
            return self.hours * 3600
        return (self.calls + self.embedding_calls) * CALL_S / self.max_in_flight


def estimate_job_requests(
    job: Job, plan: RunPlan, calls: int, hours: float | None
) -> RequestEstimate | None:
    """Return the requests to S3 of a job; None if neither source nor state are on S3.

    Args:
        job: The job.
        plan: What the job would do with each book.
        calls: Number of model calls of summaries.
        hours: Hours at the quota; None if no quota is given.
    """
    embedder, index = job.processing.embedder, job.target.config
    factors = RequestFactors(
        listed=plan.listed,
        to_read=len(plan.new),
        ready=len(plan.ready),
        calls=calls,
        embedding_calls=len(plan.new) if embedder.paid_model is not None else 0,
        hours=hours,
        max_in_flight=job.limits.quota.max_in_flight,
        dimension=embedder.dimension,
    )
    if index is not None:
        factors = replace(
            factors, max_docs=index.max_docs, max_bytes=index.max_bytes, flush_s=index.flush_s
        )
    source_on_s3 = job.source.connection is not None
    prices = job.limits.prices.requests
    return estimate_requests(factors, job.ledger, prices, source_on_s3=source_on_s3)


def expected_groups(
    books: int, max_docs: int, flush_s: float, duration_s: float, size: int = 0, max_bytes: int = 0
) -> int:
    """Return how many groups the documents of a run are committed in.

    Args:
        books: Number of documents.
        max_docs: Most documents of a group.
        flush_s: Longest time in seconds that a document waits for its group; 0 for no waiting.
        duration_s: Seconds in which the documents are finished, one after another.
        size: Bytes of all documents.
        max_bytes: Most bytes of a group; 0 for no limit.
    """
    if not books:
        return 0
    if not flush_s:
        return books
    by_size = math.ceil(size / max_bytes) if max_bytes else 1
    by_time = math.ceil(duration_s / flush_s)
    return min(books, max(math.ceil(books / max_docs), by_size, by_time))


def estimate_requests(
    factors: RequestFactors, ledger: Ledger, prices: S3Prices, *, source_on_s3: bool
) -> RequestEstimate | None:
    """Return the requests to S3 of a run; None if neither source nor state are on S3.

    Args:
        factors: What the number of requests depends on.
        ledger: The ledger of the run's state; its parts are counted.
        prices: Prices of requests.
        source_on_s3: Whether the books are on S3.
    """
    state_on_s3 = ledger.state.uri.startswith("s3://")
    if not (source_on_s3 or state_on_s3):
        return None
    todo = factors.to_read + factors.ready
    lists = gets = 0
    if source_on_s3:
        lists = max(math.ceil(factors.listed / _PAGE_KEYS), 1) + bool(factors.to_read)
        gets = factors.to_read
    groups = _groups(factors, todo)
    puts, state_lists, state_gets = _state_requests(factors, ledger) if state_on_s3 else (0, 0, 0)
    usd = prices.usd(puts + lists + state_lists, gets + state_gets)
    return RequestEstimate(lists, gets, groups, puts, state_lists, state_gets, round(usd, 4))


def _groups(factors: RequestFactors, books: int) -> int:
    size = books * (_BYTES_OF_DOCUMENT + BYTES_A_NUMBER * factors.dimension)
    duration_s = factors.duration_s
    return expected_groups(
        books, factors.max_docs, factors.flush_s, duration_s, size, factors.max_bytes
    )


def _state_requests(factors: RequestFactors, ledger: Ledger) -> tuple[int, int, int]:
    """Return the PUT, LIST and GET requests to the state."""
    todo = factors.to_read + factors.ready
    documents = len(ledger.state.list("documents/"))
    processed = len(ledger.state.list("processed/"))
    new_documents, new_processed = _groups(factors, factors.to_read), _groups(factors, todo)
    compactions = 2 * (new_processed // COMPACT_AT)
    answers = factors.calls + factors.embedding_calls
    heartbeats = factors.duration_s / LockTiming().heartbeat_s
    # Each answer is written, and before it the log of calls.
    stored = 2 * answers + bool(answers)
    progress_files = factors.duration_s / INTERVAL_S
    puts = (
        _START_PUTS
        + progress_files
        + new_documents
        + new_processed
        + compactions
        + stored
        + heartbeats
    )
    # The stored answer of a call is looked for first, also under the key of an older raypipe; the
    # answers of a book with many calls are listed.
    lookups = 2 * factors.calls
    many = lookups > MAX_LOOKUPS * factors.to_read
    lists = _START_LISTS + (factors.to_read if many else 0)
    lists += 4 * (max(documents + new_documents, processed + new_processed) // _PAGE_KEYS)
    gets = min(lookups, MAX_LOOKUPS * factors.to_read) + factors.embedding_calls
    gets += _START_GETS + _PROCESSED_READS * processed + _DOCUMENTS_READS * documents
    if todo:
        puts += _WORK_PUTS
        lists += _WORK_LISTS
        gets += documents  # finished documents of the books to do are looked up
        # The results are read back; a compaction reads what it merges.
        gets += new_processed + (new_documents if documents else 0)
        gets += (new_documents + new_processed) if compactions else 0
    return round(puts), lists, gets
