"""The ledger of a state: everything it records about books, and questions that span its parts."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from raypipe.ledger.checkpoint import Checkpoint
from raypipe.ledger.document_store import DocumentStore
from raypipe.ledger.failure_log import DEGRADED, FailedBook, FailureLog, unresolved
from raypipe.ledger.recipes import Recipes
from raypipe.ledger.tombstones import Tombstones
from raypipe.state.store import State

COMPACT_AT = 500
"""Number of parts of a table from which `Ledger.compact` merges them."""


@dataclass(frozen=True)
class RunResults:
    """Results of a run, as recorded in the ledger.

    Args:
        done: Ids of the indexed books; of the finished books in a run without an index.
        failed: Ids of the books whose failure was not resolved by the end of the run.
        degraded: Number of books with a fallback's summary.
    """

    done: frozenset[str] = frozenset()
    failed: frozenset[str] = frozenset()
    degraded: int = 0


class Ledger:
    """Read and write the records of a state. Picklable: workers write through a copy.

    Args:
        state: Where the records are kept.
        checkpoint: Replaces the default checkpoint of the state.

    Attributes:
        state: Where the records are kept.
        checkpoint: Book versions that an index acknowledged.
        documents: Finished documents.
        failures: Failures of books.
        tombstones: Books deleted from the source.
        recipes: Descriptions of the document recipes.
    """

    def __init__(self, state: State, checkpoint: Checkpoint | None = None) -> None:
        self.state = state
        self.checkpoint = checkpoint or Checkpoint(state)
        self.documents = DocumentStore(state)
        self.failures = FailureLog(state)
        self.tombstones = Tombstones(state)
        self.recipes = Recipes(state)

    def unresolved_failures(self) -> pa.Table:
        """Return the last failure of each book that no later run resolved: `FAILURES_SCHEMA`.

        Raises:
            SetupError: The state cannot be read.
        """
        failures = self.failures.read_latest()
        if not len(failures):
            return failures
        return unresolved(failures, self.checkpoint.read_latest(["book_id", "run_seq"]))

    def failed_books(self) -> list[FailedBook]:
        """Return `unresolved_failures` of books that no later run finished, oldest first.

        A run without an index records no acknowledgement: its books are in the documents alone.

        Raises:
            SetupError: The state cannot be read.
        """
        rows = self.unresolved_failures()
        if len(rows):
            finished = self.documents.read_newest(["book_id", "run_seq"])
            # In the same run, a finished document may have failed to be indexed.
            earlier = pc.subtract(finished["run_seq"], 1)
            rows = unresolved(rows, finished.set_column(1, "run_seq", earlier))
        failed = (FailedBook(**row) for row in rows.to_pylist())
        return sorted(failed, key=lambda book: book.failed_at)

    def read_back(self, run_seq: int, finished_recipes: Collection[str] = ()) -> RunResults:
        """Return what a run recorded, from its own parts alone.

        Args:
            run_seq: Number of the run.
            finished_recipes: Document recipes of a run without an index, which ends at finished
                documents; empty for a run whose books are done once the index acknowledged them.

        Raises:
            SetupError: The state cannot be read.
        """
        if finished_recipes:
            done = self.documents.read_run(finished_recipes, run_seq)
        else:
            done = self.checkpoint.read_run(run_seq)
        failures = self.failures.read_run(run_seq)
        return RunResults(
            done=frozenset(done["book_id"].to_pylist()),
            failed=frozenset(unresolved(failures, done)["book_id"].to_pylist()),
            degraded=int(pc.sum(pc.equal(failures["kind"], DEGRADED)).as_py() or 0),
        )

    def compact(self, document_recipe: str, threshold: int = COMPACT_AT) -> None:
        """Merge the parts of each table that has at least `threshold` uncompacted parts.

        Args:
            document_recipe: Documents of other recipes are left as they are.
            threshold: Number of parts from which a table is compacted.
        """
        self.checkpoint.compact(threshold)
        self.failures.compact(threshold)
        self.documents.compact(document_recipe, threshold)
