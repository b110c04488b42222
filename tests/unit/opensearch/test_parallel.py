"""Parallel writers of one write task, and the limiter that they share."""

from __future__ import annotations

from raypipe.coordination.limiter import AdaptiveLimiter
from raypipe.coordination.run_coordinator import RunCoordinator
from raypipe.coordination.shared_limiter import SharedLimiter
from raypipe.core.book import Document
from raypipe.core.options import BreakerOptions
from raypipe.opensearch.bulk.parallel import ParallelBulkWriter
from tests.unit.opensearch.builders import documents, index_at
from tests.unit.opensearch.stub import Stub, items_failing


class LocalCoordinator(RunCoordinator):
    def node_id(self) -> str:
        return "here"

    def worker_id(self) -> str:
        return "writer"


def writers(stub: Stub, limiter: AdaptiveLimiter, **settings: int) -> ParallelBulkWriter[Document]:
    coordinator = LocalCoordinator(BreakerOptions(), limiter)
    index = index_at(stub.url, **settings)
    return index.parallel_writer(7, lambda number: SharedLimiter(coordinator, f"3-{number}"))


def test_rejected_documents_of_all_writers_are_returned(stub: Stub) -> None:
    stub.always = items_failing(stub, b0001=(400, "mapper_parsing_exception"))
    limiter = AdaptiveLimiter(4)
    rejected, counters = writers(stub, limiter, max_docs=4).write(documents(10))
    assert set(rejected) == {"b0001"}
    assert (counters.documents, counters.acknowledged, counters.requests) == (10, 9, 4)
    assert {len(request.ids) for request in stub.bulks} == {4, 1}, "two shares of five"


def test_few_documents_are_sent_in_one_request(stub: Stub) -> None:
    _, counters = writers(stub, AdaptiveLimiter(4), max_docs=10).write(documents(10))
    assert counters.requests == 1


def test_a_repeated_task_has_the_slot_of_its_first_attempt(stub: Stub) -> None:
    limiter = AdaptiveLimiter(1)
    coordinator = LocalCoordinator(BreakerOptions(), limiter)
    SharedLimiter(coordinator, "3-0").acquire()  # by a task whose node was lost
    rejected, counters = writers(stub, limiter, max_docs=4).write(documents(4))
    assert (rejected, counters.acknowledged) == ({}, 4)
    assert limiter.acquire("another")
