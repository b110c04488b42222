"""Typed options of `raypipe search`."""

from __future__ import annotations

from dataclasses import dataclass

FUSIONS = ("scores", "rrf")


@dataclass
class SearchOptions:
    """How a search ranks books.

    Args:
        fusion: How the hits by words and the hits by vector are fused: `scores` adds their
            normalized scores, `rrf` fuses their ranks (reciprocal rank fusion).
    """

    fusion: str = "scores"

    def __post_init__(self) -> None:
        """Check the values."""
        if self.fusion not in FUSIONS:
            raise ValueError(f"fusion={self.fusion}: choose {' or '.join(FUSIONS)}")
