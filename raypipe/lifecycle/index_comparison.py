"""Compare an index with the ledger at the start of a run: lost documents and unknown documents."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from raypipe.ledger.facade import Ledger
from raypipe.opensearch.index import Index

log = logging.getLogger(__name__)

_IDS_SHOWN = 3
_BATCH = 1_000
_FIELDS = ("source", "key", "etag", "size", "run_seq")


@dataclass(frozen=True)
class IndexDifferences:
    """How an index differs from what the ledger records for it.

    Args:
        lost: Ids of recorded books that the index lacks, or holds in another version.
        unknown: Documents that the ledger does not record, by id: a mapping of `book_id`, `source`,
            `key`, `etag`, `size` and `run_seq`. A state that was restored from a backup, or that
            took an index over, does not know what was indexed meanwhile.
    """

    lost: Collection[str] = frozenset()
    unknown: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


def compare_with_ledger(index: Index, ledger: Ledger) -> IndexDifferences:
    """Compare an index with the ledger.

    The index is scanned only if its numbers of documents by run differ from those of the ledger.

    Args:
        index: The index.
        ledger: The ledger.

    Raises:
        SetupError: The server or the state cannot be read.
    """
    recorded = ledger.checkpoint.read_generation(index.ref.generation)
    index.refresh()
    if index.count_by_run() == _count_by_run(recorded):
        return IndexDifferences()
    expected = _versions_by_id(recorded)
    present: dict[str, tuple[str, str]] = {}
    lost: set[str] = set()
    for _ in index.visibility_polls():
        present = {book.book_id: (book.etag, book.document_recipe) for book in index.scan()}
        lost = {book_id for book_id, version in expected.items() if present.get(book_id) != version}
        if not lost:
            break
    if lost:
        log.warning(
            "%s lacks %s documents that this state has written (%s%s); they are indexed again",
            index.ref.physical,
            f"{len(lost):,}",
            ", ".join(sorted(lost)[:_IDS_SHOWN]),
            " ..." if len(lost) > _IDS_SHOWN else "",
        )
    return IndexDifferences(lost, _read_unknown(index, sorted(present.keys() - expected.keys())))


def _count_by_run(recorded: pa.Table) -> dict[int, int]:
    counts = pc.value_counts(recorded["run_seq"]).to_pylist()
    return {count["values"]: count["counts"] for count in counts}


def _versions_by_id(recorded: pa.Table) -> dict[str, tuple[str, str]]:
    columns = (recorded[name].to_pylist() for name in ("book_id", "etag", "recipe"))
    return {book_id: (etag, recipe) for book_id, etag, recipe in zip(*columns, strict=True)}


def _read_unknown(index: Index, book_ids: list[str]) -> dict[str, dict[str, Any]]:
    unknown: dict[str, dict[str, Any]] = {}
    for start in range(0, len(book_ids), _BATCH):
        sources = index.mget(book_ids[start : start + _BATCH], _FIELDS)
        unknown |= {
            book_id: {"book_id": book_id, **source}
            for book_id, source in sources.items()
            if source is not None and source.keys() >= set(_FIELDS)
        }
    return unknown
