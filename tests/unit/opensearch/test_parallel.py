"""One write task's documents: a second request in flight where there are documents for it."""

from __future__ import annotations

from raypipe.coordination.limiter import AdaptiveLimiter
from raypipe.coordination.run_coordinator import RunCoordinator
from raypipe.coordination.shared_limiter import SharedLimiter
from raypipe.core.book import Document
from raypipe.core.options import BreakerOptions
from raypipe.opensearch.bulk.parallel import ParallelBulkWriter
from tests.unit.opensearch.parts import documents, index_at
from tests.unit.opensearch.stub import Stub, items_failing


class Here(RunCoordinator):
    def node_id(self) -> str:
        return "here"


def writers(stub: Stub, lanes: AdaptiveLimiter, **settings: int) -> ParallelBulkWriter[Document]:
    coordinator = Here(BreakerOptions(), lanes)
    index = index_at(stub.url, **settings)
    return index.parallel_writer(7, lambda number: SharedLimiter(coordinator, f"3-{number}"))


def test_all_documents_are_written_and_what_is_refused_is_told(stub: Stub) -> None:
    stub.always = items_failing(stub, b0001=(400, "mapper_parsing_exception"))
    lanes = AdaptiveLimiter(4)
    rejected, counters = writers(stub, lanes, max_docs=4).write(documents(10))
    assert set(rejected) == {"b0001"}
    assert (counters.documents, counters.acknowledged, counters.requests) == (10, 9, 4)
    assert {len(request.ids) for request in stub.bulks} == {4, 1}, "two shares of five"


def test_few_documents_go_in_one_request(stub: Stub) -> None:
    _, counters = writers(stub, AdaptiveLimiter(4), max_docs=10).write(documents(10))
    assert counters.requests == 1


def test_one_lane_is_shared_and_a_task_tried_again_takes_its_own(stub: Stub) -> None:
    lanes = AdaptiveLimiter(1)
    marks = Here(BreakerOptions(), lanes)
    SharedLimiter(marks, "3-0").acquire()  # of a task whose node was lost
    rejected, counters = writers(stub, lanes, max_docs=4).write(documents(4))
    assert (rejected, counters.acknowledged) == ({}, 4)
    assert lanes.acquire("another")
