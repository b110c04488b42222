"""The text of search hits."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from raypipe.core.printable import join_lines
from raypipe.opensearch.search import Hit

_WIDTH = 95
"""Characters of a summary's beginning: with its indent, 100."""


def format_hits(hits: Sequence[Hit]) -> str:
    """Return two lines for each hit: rank, title, author and key, then the summary's beginning."""
    return join_lines(line for hit in hits for line in _format_hit(hit)) or "  nothing found"


def _format_hit(hit: Hit) -> list[str]:
    author = f", {hit.author}" if hit.author else ""
    beginning = textwrap.shorten(hit.summary, _WIDTH, placeholder=" ...")
    return [f"  {hit.rank}. {hit.title or hit.key}{author}  [{hit.key}]", f"     {beginning}"]
