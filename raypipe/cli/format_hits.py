"""How hits are shown."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from raypipe.opensearch.search import Hit

_WIDTH = 96


def format_hits(hits: Sequence[Hit]) -> str:
    """Return the hits as lines for a terminal."""
    return "\n".join(_lines(hit) for hit in hits) or "  nothing found"


def _lines(hit: Hit) -> str:
    by = f", {hit.author}" if hit.author else ""
    begin = textwrap.shorten(hit.summary, _WIDTH, placeholder=" ...")
    return f"  {hit.rank}. {hit.title or hit.key}{by}  [{hit.key}]\n     {begin}"
