"""Take the constructor arguments of the stages from the work of a run."""

from __future__ import annotations

from typing import Any

from raypipe.coordination.run_coordinator import Coordinator
from raypipe.run.work import Work


def summarize_arguments(work: Work, coordinator: Coordinator) -> dict[str, Any]:
    """Return the arguments of `Summarize`; an executor pickles them to its workers."""
    return {
        "source": work.source,
        "cleaner": work.processing.cleaner,
        "summarizer": work.processing.summarizer,
        "documents": work.ledger.documents,
        "recipe": work.processing.recipe,
        "summaries": work.accepted.summaries,
        "run_seq": work.run_seq,
        "coordinator": coordinator,
    }


def embed_arguments(work: Work, coordinator: Coordinator) -> dict[str, Any]:
    """Return the arguments of `Embed`; an executor pickles them to its workers."""
    return {
        "embedder": work.processing.embedder,
        "recipe": work.processing.recipe,
        "accepted": work.accepted.documents,
        "coordinator": coordinator,
    }
