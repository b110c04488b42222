"""What became of each document, and what writing took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Ack:
    """The index has the document; `noop` = it had this very one already."""

    book_id: str
    result: Literal["created", "updated", "noop"]


LEFT = "left"
"""The run was asked to stop before the server took the document: no failure, the next run's."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The index does not have the document: a kind of `bulk_policy.KINDS` or `LEFT`, and why.

    `superseded` says that a run with a higher number has written another version of the book.
    """

    book_id: str
    kind: str
    message: str
    retryable: bool


Result = Ack | Rejected


@dataclass
class Counters:
    """What writing took, in counts, bytes, milliseconds and seconds; they add up.

    Args:
        requests: Bulk requests sent.
        documents: Documents sent, those sent again included.
        first_attempt_successes: Documents that the first request with them settled well.
        retries: Documents sent again.
        acknowledged: Documents that the index has.
        rejected: Documents that it has not.
        superseded: Those of them that a newer run has overtaken.
        duplicates: Documents dropped for a later one with the same id.
        bytes_sent: Body bytes as sent, compressed if they were.
        took_ms: The server's own time, as it says.
        seconds: Time spent waiting for answers.
        statuses: Answers by item status, and failed requests by status or exception.
    """

    requests: int = 0
    documents: int = 0
    first_attempt_successes: int = 0
    retries: int = 0
    acknowledged: int = 0
    rejected: int = 0
    superseded: int = 0
    duplicates: int = 0
    bytes_sent: int = 0
    took_ms: int = 0
    seconds: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: Counters) -> Counters:
        return Counters(**{name: value + vars(other)[name] for name, value in vars(self).items()})

    def settle(self, results: Iterable[Result]) -> None:
        """Count results."""
        for result in results:
            if isinstance(result, Ack):
                self.acknowledged += 1
            else:
                self.rejected += 1
                self.superseded += result.kind == "superseded"
