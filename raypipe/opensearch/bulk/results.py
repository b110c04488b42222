"""The outcome of each document, and counters of the writing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

LEFT = "left"
"""Kind of a document that a stopped run did not write: no failure, the next run writes it."""

Outcome = Literal["created", "updated", "noop"]


@dataclass(frozen=True, slots=True)
class Ack:
    """The index has the document; `noop` if it already had this very document."""

    doc_id: str
    result: Outcome


@dataclass(frozen=True, slots=True)
class Rejected:
    """The index does not have the document.

    Args:
        doc_id: The client's id of the document.
        kind: A kind of `raypipe.opensearch.bulk.error_policy.KINDS`, or `LEFT`. `superseded`
            means that a run with a higher number has written other content.
        message: The reason, without document content.
        retryable: Whether a later run may succeed without a change of the document.
    """

    doc_id: str
    kind: str
    message: str
    retryable: bool


Result = Ack | Rejected


@dataclass
class Counters:
    """Counts, bytes and times of bulk writing; counters add up.

    Args:
        requests: Bulk requests sent.
        documents: Documents sent, resent ones included.
        first_attempt_successes: Documents that were acknowledged by their first request.
        retries: Documents sent again.
        acknowledged: Documents that the index has.
        rejected: Documents that the index does not have.
        superseded: Rejected documents of which a newer run has written another version.
        duplicates: Documents dropped in favor of a later one with the same id.
        bytes_sent: Bytes of request bodies as sent, after compression.
        took_ms: Milliseconds that the server reports as its own time.
        seconds: Seconds spent waiting for responses.
        statuses: Number of results by item status, and of failed requests by status or exception.
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

    def count(self, results: Iterable[Result]) -> None:
        """Count the outcomes of documents."""
        for result in results:
            if isinstance(result, Ack):
                self.acknowledged += 1
            else:
                self.rejected += 1
                self.superseded += result.kind == "superseded"
