"""What follows the last document of a run: it is made findable, and stands there once."""

from __future__ import annotations

from collections.abc import Collection

from raypipe.opensearch.index.config import IndexConfig, IndexRef
from raypipe.opensearch.index.deletes import sweep
from raypipe.opensearch.index.reads import refresh
from raypipe.opensearch.index.serverless import wait_until_visible


def finalize(
    index: IndexConfig,
    handle: IndexRef,
    book_ids: Collection[str],
    run_seq: int,
    *,
    stopped: bool = False,
) -> None:
    """Make what a run wrote findable, and delete what its books had before.

    With ids there is nothing to delete. Without, it is looked for even after a run that wrote
    nothing: the one before may have been killed before it came to that.

    Args:
        index: Where.
        handle: The index.
        book_ids: The books that the run wrote.
        run_seq: The run's number.
        stopped: The run was asked to stop: it does not wait for anything.

    Raises:
        SetupError: The server cannot be used.
    """
    if index.has_ids:
        if book_ids:
            refresh(index, handle)
    elif not stopped:
        wait_until_visible(index, handle, book_ids, run_seq)
        sweep(index, handle)
