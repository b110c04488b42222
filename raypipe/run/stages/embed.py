"""Give each document its vector, unless it already has one of the same recipe."""

from __future__ import annotations

import math
import time
from collections.abc import Set
from dataclasses import dataclass, field, replace

import pyarrow as pa

from raypipe.coordination.crash_guard import CrashGuard, failed_row
from raypipe.coordination.run_coordinator import Coordinator
from raypipe.core.book import Row, from_table, to_table
from raypipe.core.errors import BookError, SetupError
from raypipe.core.fingerprint import Recipe
from raypipe.embedders import Embedder
from raypipe.embedders.protocol import CountsCosts, EmbeddingCost
from raypipe.run.stages.failures import unexpected_failure


@dataclass
class Embed:
    """Embed the documents of a batch.

    Args:
        embedder: Turns texts into vectors.
        recipe: Recipe of the run.
        accepted: Document recipes whose documents keep their vectors.
        coordinator: The run's coordinator.
    """

    embedder: Embedder
    recipe: Recipe
    accepted: Set[str]
    coordinator: Coordinator
    _guard: CrashGuard = field(init=False)

    def __post_init__(self) -> None:
        """Create the crash guard of this stage."""
        self._guard = CrashGuard(self.coordinator, "embed")

    def __call__(self, batches: pa.Table) -> pa.Table:
        """Return the batch with a vector of shape (dimension,) in each document."""
        started = time.monotonic()
        rows = from_table(batches)
        to_embed = [row for row in rows if row.is_open and self._lacks_vector(row)]
        if not to_embed:
            return to_table(rows)
        # A paid summary is embedded even if the run stops, so only worker deaths matter here.
        decision = self.coordinator.start("embed", [row.book.book_id for row in to_embed])
        with self._guard.stop_at_error():
            if any(decision.worker_deaths):
                embedded = self._embed_one_by_one(to_embed)
            else:
                embedded = self._embed_together(to_embed)
        self._guard.clock.add("embed", time.monotonic() - started, len(to_embed))
        self._guard.finish(to_embed, started)
        return to_table(_replaced(rows, embedded))

    def process(self, rows: list[Row]) -> list[Row]:
        """Return the rows with a vector of shape (dimension,) in each document.

        It records no starts: the caller has.
        """
        to_embed = [row for row in rows if row.is_open and self._lacks_vector(row)]
        return _replaced(rows, self._embed_together(to_embed)) if to_embed else rows

    def _lacks_vector(self, row: Row) -> bool:
        document = row.document
        return document is not None and document.document_recipe not in self.accepted

    def _embed_together(self, rows: list[Row]) -> list[Row]:
        try:
            return self._embed_rows(rows)
        except SetupError:
            raise  # every book would fail
        except Exception:
            return [self._embed(row) for row in rows]  # to find the book that caused it

    def _embed_one_by_one(self, rows: list[Row]) -> list[Row]:
        return [self._guard.isolate(row, self._embed, even_if_stopped=True) for row in rows]

    def _embed(self, row: Row) -> Row:
        try:
            return self._embed_rows([row])[0]
        except BookError as error:
            return failed_row(row, "embed", error)
        except SetupError:
            raise
        except Exception as error:
            return failed_row(row, "embed", unexpected_failure(row.book, error))

    def _embed_rows(self, rows: list[Row]) -> list[Row]:
        texts = [_text_to_embed(row) for row in rows]
        if isinstance(self.embedder, CountsCosts):
            vectors, costs = self.embedder.embed_counted(texts, [row.book.key for row in rows])
        else:
            vectors, costs = self.embedder.embed(texts), [EmbeddingCost()] * len(rows)
        return [
            self._with_vector(row, vector.tolist(), cost)
            for row, vector, cost in zip(rows, vectors, costs, strict=True)
        ]

    def _with_vector(self, row: Row, vector: list[float], cost: EmbeddingCost) -> Row:
        assert row.document is not None
        if not all(map(math.isfinite, vector)):  # the batch travels as JSON, which has no NaN
            raise BookError("bad_vector", f"{row.book.key}: its embedding is not finite")
        document = replace(
            row.document,
            document_recipe=self.recipe.document,
            embedder=self.embedder.name,
            summary_vector=tuple(vector),
            model_calls=row.document.model_calls + cost.calls,
            input_tokens=row.document.input_tokens + cost.input_tokens,
            usd=row.document.usd + cost.usd,
        )
        return replace(row, document=document, book=replace(row.book, part=""))


def _replaced(rows: list[Row], embedded: list[Row]) -> list[Row]:
    by_id = {row.book.book_id: row for row in embedded}
    return [by_id.get(row.book.book_id, row) for row in rows]


def _text_to_embed(row: Row) -> str:
    """Return the text whose vector represents the book."""
    assert row.document is not None
    return f"{row.document.title}. {row.document.summary}"
