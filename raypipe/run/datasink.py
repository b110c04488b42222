"""Write the blocks of a Ray dataset with a `BookSink`, in groups of many blocks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ray.data import ActorPoolStrategy, Dataset, Datasink

from raypipe.core.book import Row, count_books, from_table
from raypipe.core.stage_options import WriteOptions
from raypipe.opensearch.bulk.results import Counters
from raypipe.run.book_sink import BookSink

if TYPE_CHECKING:
    from ray.data._internal.execution.interfaces import TaskContext

MAX_RESTARTS = 50
"""Times that a writer is started again after its process died; more deaths have a lasting cause."""


class BookDatasink(Datasink[Counters]):
    """The last stage of the graph.

    Args:
        sink: Writes documents and outcomes.
    """

    def __init__(self, sink: BookSink) -> None:
        super().__init__()
        self._sink = sink

    def write(self, blocks: Iterable[Any], ctx: TaskContext) -> Counters:
        """Write the books of a batch; return the counters of its bulk requests.

        Raises:
            SinkError: The index is deleted, or refuses these credentials.
            SetupError: The ledger cannot be written.
        """
        tables = list(blocks)

        def decode() -> list[Row]:
            return [row for table in tables for row in from_table(table)]

        return self._sink.write(sum(count_books(table) for table in tables), decode)


def write_grouped(dataset: Dataset, sink: BookSink, options: WriteOptions) -> None:
    """Write a dataset with a pool of actors, which group the batches of many calls.

    `Dataset.write_datasink` writes each block in a separate task, in a process that has no other
    block: nothing could be grouped. Its `Write` operator also takes an actor pool, whose
    calls are threads of one process (tried with Ray 2.60). If that process dies, Ray starts it
    again and repeats the calls that had not returned.

    Args:
        dataset: Batches of books, a block each.
        sink: Writes documents and outcomes.
        options: Size of the pool.

    Raises:
        ray.exceptions.RayError: A call failed, or the writers died too often.
    """
    from ray.data._internal.logical.interfaces import LogicalPlan
    from ray.data._internal.logical.operators import Write

    calls = sink.limits.max_calls
    pool = ActorPoolStrategy(
        size=options.writers,
        max_concurrent_calls_per_actor=calls,
        # More than the calls, so that a call that returns is followed by the next at once.
        max_tasks_in_flight_per_actor=calls + max(4, calls // 4),
        enable_true_multi_threading=True,
    )
    write = Write(
        BookDatasink(sink),
        input_dependencies=[dataset._logical_plan.dag],
        ray_remote_args={
            "num_cpus": options.num_cpus,
            "max_restarts": MAX_RESTARTS,
            "max_task_retries": -1,  # `max_restarts` bounds them
        },
        compute=pool,
    )
    written = Dataset._from_parent(dataset, LogicalPlan(write, dataset.context))
    # Each block of the result has the counters of a call; reading them one by one frees them.
    for _ in written.iter_internal_ref_bundles():
        pass
