"""Taking books out of an index that are not at the source any more."""

from __future__ import annotations

import time
from collections.abc import Collection

from raypipe.ledger.checkpoint import Checkpoint, Processed
from raypipe.opensearch.index.config import IndexConfig, IndexRef
from raypipe.opensearch.index.deletes import delete_books


def delete_from_index(
    index: IndexConfig,
    handle: IndexRef,
    book_ids: Collection[str],
    checkpoint: Checkpoint,
    run_seq: int,
) -> None:
    """Delete the documents of books, then note in the ledger that this index has them no more.

    Args:
        index: Where.
        handle: The index.
        book_ids: Ids of the books; one that is not in it is no error.
        checkpoint: The ledger.
        run_seq: The version of what is deleted.

    Raises:
        SetupError: The index or the state cannot be written.
    """
    ids, now = sorted(book_ids), time.time()
    delete_books(index, handle, ids, run_seq)
    rows = [Processed(one, "", "", handle.physical, handle.generation, run_seq, now) for one in ids]
    checkpoint.append(rows, run_seq, "removed", 0)
