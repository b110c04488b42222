"""What a run is made of."""

from __future__ import annotations

import time
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from raypipe.core.fingerprint import Recipe, recipe_of
from raypipe.core.options import (
    BreakerOptions,
    BudgetOptions,
    IndexOptions,
    QuotaOptions,
    RayOptions,
    Stages,
)
from raypipe.embedders.protocol import Embedder
from raypipe.ledger.failures import MAX_ATTEMPTS
from raypipe.ledger.ledger import Ledger
from raypipe.opensearch.index.config import IndexConfig
from raypipe.quota.prices import Prices
from raypipe.sources.protocol import BookSource
from raypipe.summarizers.protocol import Summarizer
from raypipe.text import TextCleaner


class Checked(Protocol):
    """A part that can say, before the first book, that it would make every book fail."""

    def check(self) -> None:
        """Raise `SetupError` with the way out if it cannot work here."""


@dataclass(frozen=True)
class Job:
    """Everything a run needs.

    Args:
        store: Where the books are listed and read.
        cleaner: Bytes to clean text.
        summarizer: Clean text to a summary.
        embedder: Summaries to vectors.
        index: Where documents are indexed; None stops at finished documents.
        ledger: Records of the job's state.
        skip_processed: Whether books that the index acknowledged are skipped.
        stages: The sizes of the graph.
        breaker: When the run stops because the books fail.
        ray: Where Ray runs.
        limit: Most books that are taken; None = all.
        purge: Delete the index and make it anew.
        adopt: Take over an index of another state.
        max_attempts: Failures that may pass are tried in so many runs.
        only: Ids of the books that the run is about; None = every listed book.
        lasting: Also try failures that do not pass by themselves.
        again: Ids of books that are read again, whatever is finished of them.
        quota: What the models' account may take.
        budget: What models may cost.
        prices: What models cost.
        life: How the index changes.
        max_delete_fraction: Share of the finished books that may be gone from the source, and be
            deleted for that, without having been asked for.
        allow_deletes: Delete however many are gone.
    """

    store: BookSource
    cleaner: TextCleaner
    summarizer: Summarizer
    embedder: Embedder
    index: IndexConfig | None
    ledger: Ledger
    skip_processed: bool = True
    stages: Stages = field(default_factory=Stages)
    breaker: BreakerOptions = field(default_factory=BreakerOptions)
    ray: RayOptions = field(default_factory=RayOptions)
    limit: int | None = None
    purge: bool = False
    adopt: bool = False
    max_attempts: int = MAX_ATTEMPTS
    only: Set[str] | None = None
    lasting: bool = False
    again: Set[str] = frozenset()
    quota: QuotaOptions = field(default_factory=QuotaOptions)
    budget: BudgetOptions = field(default_factory=BudgetOptions)
    prices: Prices = field(default_factory=Prices)
    life: IndexOptions = field(default_factory=IndexOptions)
    max_delete_fraction: float = 0.05
    allow_deletes: bool = False

    @property
    def recipe(self) -> Recipe:
        """Return the fingerprints of what this job's parts do."""
        return recipe_of(
            self.cleaner.identity(), self.summarizer.identity(), self.embedder.identity()
        )


@dataclass
class Timer:
    """Seconds of each step of a run, in order."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Add the time of a block to a step."""
        began = time.monotonic()
        try:
            yield
        finally:
            taken = time.monotonic() - began
            self.seconds[name] = round(self.seconds.get(name, 0.0) + taken, 3)
