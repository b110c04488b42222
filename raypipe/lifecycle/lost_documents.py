"""Find documents that an index has lost although the ledger records them."""

from __future__ import annotations

import logging
from collections import Counter

import pyarrow as pa

from raypipe.ledger.facade import Ledger
from raypipe.opensearch.index import Index

log = logging.getLogger(__name__)

_IDS_SHOWN = 3


def find_lost_documents(index: Index, ledger: Ledger) -> set[str]:
    """Return the ids of the books that the ledger records for an index and the index lacks.

    A book also counts as lost if the index holds another version of it. The index is scanned only
    if its numbers of documents by run differ from those of the ledger.

    Args:
        index: The index.
        ledger: The ledger.

    Raises:
        SetupError: The server or the state cannot be read.
    """
    recorded = ledger.checkpoint.read_generation(index.ref.generation)
    if not len(recorded):
        return set()
    index.refresh()
    if index.count_by_run() == _count_by_run(recorded):
        return set()
    expected = _versions_by_id(recorded)
    lost: set[str] = set()
    for _ in index.visibility_polls():
        present = {book.book_id: (book.etag, book.document_recipe) for book in index.scan()}
        lost = {book_id for book_id, version in expected.items() if present.get(book_id) != version}
        if not lost:
            return set()
    log.warning(
        "%s lacks %s documents that this state has written (%s%s); they are indexed again",
        index.ref.physical,
        f"{len(lost):,}",
        ", ".join(sorted(lost)[:_IDS_SHOWN]),
        " ..." if len(lost) > _IDS_SHOWN else "",
    )
    return lost


def _count_by_run(recorded: pa.Table) -> dict[int, int]:
    return dict(Counter(recorded["run_seq"].to_pylist()))


def _versions_by_id(recorded: pa.Table) -> dict[str, tuple[str, str]]:
    columns = (recorded[name].to_pylist() for name in ("book_id", "etag", "recipe"))
    return {book_id: (etag, recipe) for book_id, etag, recipe in zip(*columns, strict=True)}
