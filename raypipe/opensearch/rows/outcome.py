"""The outcome of writing rows: of one write task, and of a whole dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from raypipe.core.printable import escape_line
from raypipe.opensearch.bulk.results import Counters

EXAMPLES = 3
"""Rejected documents that a result quotes, by id, kind and message."""


@dataclass(frozen=True)
class RejectedRow:
    """A row that the index does not have.

    Args:
        id: Id of its document; '' if the row has none, or the server would have made it.
        kind: A short stable word, for example `mapper_parsing` or `too_large`.
        message: The server's reason, without the content of the document.
        retryable: Whether a later write may succeed without a change of the row.
        row: The row, as `Dataset.take` returns it; empty in `SinkResult.examples`.
    """

    id: str
    kind: str
    message: str
    retryable: bool
    row: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"id={self.id or '(unknown)'} ({self.kind}): {self.message}"


@dataclass(frozen=True)
class TaskOutcome:
    """The outcome of one write task, which it returns to the driver.

    Args:
        rows: Rows that the task was given.
        counters: Counters of its bulk requests.
        kinds: Number of rejected documents by kind.
        examples: The first rejected documents, without rows.
        uncertain: Documents with ids of the server that were sent again after a lost response.
        repeated: Documents with generated ids that an earlier attempt had written.
        index_uuid: Id of the index that the server gave it; '' for an alias of other indices.
    """

    rows: int = 0
    counters: Counters = field(default_factory=Counters)
    kinds: Counter[str] = field(default_factory=Counter)
    examples: tuple[RejectedRow, ...] = ()
    uncertain: int = 0
    repeated: int = 0
    index_uuid: str = ""


@dataclass(frozen=True)
class SinkResult:
    """What the write of a dataset did; rows = acknowledged + rejected + duplicates.

    Counts are of the write tasks that succeeded. A task that Ray repeats after the loss of a
    process counts once.

    Args:
        rows: Rows of the dataset.
        acknowledged: Documents that the server confirmed.
        rejected: Documents that the index does not have.
        duplicates: Rows replaced by a later row with the same id in the same write task.
        retried: Documents sent again after a transient failure.
        requests: Bulk requests.
        bytes_sent: Bytes of their bodies as sent, after compression.
        uncertain: Documents without an id that may be in the index twice: the response to them was
            lost and they were sent again, on a server that accepts no ids (Serverless).
        repeated: Documents without an id of the user that an earlier attempt had written already:
            a resent request, or a repeated write task. They are in the index once.
        rejected_by_kind: Number of rejected documents by kind.
        examples: The first rejected documents.
        tasks: Write tasks.
    """

    rows: int
    acknowledged: int
    rejected: int
    duplicates: int
    retried: int
    requests: int
    bytes_sent: int
    uncertain: int
    repeated: int
    rejected_by_kind: dict[str, int]
    examples: tuple[RejectedRow, ...]
    tasks: int

    def __str__(self) -> str:
        counts = {
            "rows": self.rows,
            "acknowledged": self.acknowledged,
            "rejected": self.rejected,
            "retried": self.retried,
            "requests": self.requests,
            "bytes": self.bytes_sent,
        }
        rare = ("duplicates", "uncertain", "repeated")
        counts |= {name: getattr(self, name) for name in rare if getattr(self, name)}
        return ", ".join(f"{count:,} {name}" for name, count in counts.items())


class RejectedRowsError(Exception):
    """The index refused rows; all others are written.

    Args:
        message: One line with the number, the kinds, an example and the way out.
        result: What the write did.
    """

    def __init__(self, message: str, result: SinkResult) -> None:
        super().__init__(message, result)
        self.message = message
        self.result = result

    def __str__(self) -> str:
        return self.message


def add_up(outcomes: Iterable[TaskOutcome]) -> SinkResult:
    """Return the result of all write tasks."""
    tasks: Sequence[TaskOutcome] = list(outcomes)
    counters = sum((task.counters for task in tasks), Counters())
    kinds = sum((task.kinds for task in tasks), Counter[str]())
    examples = [example for task in tasks for example in task.examples]
    return SinkResult(
        rows=sum(task.rows for task in tasks),
        acknowledged=counters.acknowledged,
        rejected=counters.rejected,
        duplicates=counters.duplicates,
        retried=counters.retries,
        requests=counters.requests,
        bytes_sent=counters.bytes_sent,
        uncertain=sum(task.uncertain for task in tasks),
        repeated=sum(task.repeated for task in tasks),
        rejected_by_kind=dict(kinds.most_common()),
        examples=tuple(examples[:EXAMPLES]),
        tasks=len(tasks),
    )


def describe_rejections(result: SinkResult, label: str) -> str:
    """Return one line about the rejected documents of a write.

    Args:
        result: What the write did.
        label: Index and server.
    """
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in result.rejected_by_kind.items())
    return escape_line(
        f"{label} rejected {result.rejected:,} of {result.rows:,} documents ({kinds}); the others "
        f"are written. First: {result.examples[0]}"
    )
