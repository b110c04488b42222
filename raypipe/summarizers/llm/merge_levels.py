"""Plan which summaries are merged, level by level, until one merge is left."""

from __future__ import annotations

from raypipe.core.errors import BookError

MERGE_VERSION = 1
"""Part of the summary recipe. Raise it when the same chunks are merged differently."""

MAX_LEVELS = 5
"""Levels of merges below the final answer. Enough for 64 parts with two per merge, and for any
number of parts with twelve."""


def plan_merges(parts: int, max_parts: int) -> tuple[tuple[int, ...], ...]:
    """Return how many neighbors each merge takes, level by level, from the bottom up.

    The last merge, which writes the answer, is not included. It takes all results of the last
    level, or all parts if there are no levels. The merges of a level differ by at most one part.

    Args:
        parts: Number of summaries at the bottom.
        max_parts: Maximum summaries per merge, 2 or more.

    Raises:
        BookError: `too_large`: the levels would not shrink by half, or there would be too many.
    """
    levels: list[tuple[int, ...]] = []
    while parts > max_parts:
        groups = -(-parts // max_parts)
        # Each merge takes at least two, or a level costs as much as the one below and never ends.
        if groups * 2 > parts + 1 or len(levels) == MAX_LEVELS:
            raise BookError(
                "too_large",
                f"{parts:,} summaries, {max_parts} a merge, come to no end within {MAX_LEVELS}"
                " levels; raise summarizer.fan_in, summarizer.context_tokens or"
                " summarizer.chunk_tokens",
            )
        levels.append(tuple(split_evenly(parts, groups)))
        parts = groups
    return tuple(levels)


def split_evenly(parts: int, groups: int) -> list[int]:
    """Return the sizes of the groups, which differ by at most one."""
    smaller, larger = divmod(parts, groups)
    return [smaller + 1] * larger + [smaller] * (groups - larger)
