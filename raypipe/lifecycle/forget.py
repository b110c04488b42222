"""Taking books out of an index that are not at the source any more."""

from __future__ import annotations

import time
from collections.abc import Collection

from raypipe.ledger.checkpoint import Checkpoint, Processed
from raypipe.opensearch.index import Index


def delete_from_index(
    index: Index,
    book_ids: Collection[str],
    checkpoint: Checkpoint,
    run_seq: int,
) -> None:
    """Delete the documents of books, then note in the ledger that this index has them no more.

    Args:
        index: The index.
        book_ids: Ids of the books; one that is not in it is no error.
        checkpoint: The ledger.
        run_seq: The version of what is deleted.

    Raises:
        SetupError: The index or the state cannot be written.
    """
    ids, now = sorted(book_ids), time.time()
    index.delete_books(ids, run_seq)
    ref = index.ref
    rows = [Processed(one, "", "", ref.physical, ref.generation, run_seq, now) for one in ids]
    checkpoint.append(rows, run_seq, "removed", 0)
