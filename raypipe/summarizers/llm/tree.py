"""The shape of a book's summary: which summaries are merged, level by level, until one is left."""

from __future__ import annotations

from raypipe.core.errors import BookError
from raypipe.summarizers.llm.token_budget import MOST_LEVELS

TREE_VERSION = 1
"""Raise it when the same chunks are merged otherwise; it is part of the summary recipe."""


def levels(parts: int, most: int) -> tuple[tuple[int, ...], ...]:
    """Return how many neighbors each merge takes, level by level, from the bottom up.

    The last merge, which writes the answer, is not among them; it takes what the last level
    leaves (all parts, where there is no level). Merges of a level are even in size.

    Args:
        parts: Number of summaries at the bottom.
        most: Most summaries that are merged at once, 2 or more.

    Raises:
        BookError: `too_large`: the levels would not shrink to half, or be too many.
    """
    found: list[tuple[int, ...]] = []
    while parts > most:
        groups = -(-parts // most)
        # Two an answer at least, or a level costs as much as the one below and never ends.
        if groups * 2 > parts + 1 or len(found) == MOST_LEVELS:
            raise BookError(
                "too_large",
                f"{parts:,} summaries, {most} a merge, come to no end within {MOST_LEVELS}"
                " levels; raise summarizer.fan_in, summarizer.context_tokens or"
                " summarizer.chunk_tokens",
            )
        found.append(tuple(even(parts, groups)))
        parts = groups
    return tuple(found)


def even(parts: int, groups: int) -> list[int]:
    """Return the sizes of so many groups, which differ by one at most."""
    smaller, larger = divmod(parts, groups)
    return [smaller + 1] * larger + [smaller] * (groups - larger)
