"""Summarize and embed in the same process, for an embedder that needs no separate pool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from raypipe.run.stages.embed import Embed
from raypipe.run.stages.summarize import Summarize


class SummarizeAndEmbed:
    """Turn each book of a batch into a document with a vector.

    Args:
        summarize: Arguments of `Summarize`.
        embed: Arguments of `Embed`.
    """

    def __init__(self, summarize: Mapping[str, Any], embed: Mapping[str, Any]) -> None:
        self._summarize = Summarize(**summarize)
        self._embed = Embed(**embed)

    def __call__(self, batches: pa.Table) -> pa.Table:
        """Return the batch with a document or a failure for each book that was not left."""
        return self._embed(self._summarize(batches))
