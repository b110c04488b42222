"""Fuse the hits of a search by words and a search by vector: by their scores or by their ranks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from raypipe.core.errors import SetupError

VECTOR_WEIGHT = 0.3
"""Weight of the vector scores. A static embedding of a summary finds fewer books than words do;
weights from 0.2 to 0.5 give the same quality on real books."""
RANK_CONSTANT = 60
"""Cormack, Clarke, Buettcher, "Reciprocal Rank Fusion outperforms Condorcet", SIGIR 2009."""

Ranking = Sequence[tuple[str, float]]
"""Ids of books with their scores, best first, each id once."""


def fuse(words: Ranking, vectors: Ranking, fusion: str) -> list[tuple[str, float]]:
    """Return ids with their fused scores, best first, ties by id.

    Args:
        words: Hits of the search by words, with BM25 scores.
        vectors: Hits of the search by vector, with scores of any range.
        fusion: `scores` or `rrf`.

    Raises:
        SetupError: There is no such fusion.
    """
    check_fusion(fusion)
    fused: dict[str, float] = {}
    for share in _FUSIONS[fusion](words, vectors):
        for book_id, score in share.items():
            fused[book_id] = fused.get(book_id, 0.0) + score
    return sorted(fused.items(), key=lambda pair: (-pair[1], pair[0]))


def check_fusion(fusion: str) -> None:
    """Raise `SetupError` if there is no such fusion."""
    if fusion not in _FUSIONS:
        raise SetupError(f"fusion={fusion}: choose {' or '.join(_FUSIONS)}")


def _share_by_score(words: Ranking, vectors: Ranking) -> list[dict[str, float]]:
    scaled = _scale_to_range(vectors)
    weighted = {book_id: VECTOR_WEIGHT * score for book_id, score in scaled.items()}
    return [_scale_to_best(words), weighted]


def _share_by_rank(words: Ranking, vectors: Ranking) -> list[dict[str, float]]:
    return [
        {book_id: 1.0 / (RANK_CONSTANT + rank) for rank, (book_id, _) in enumerate(ranking, 1)}
        for ranking in (words, vectors)
    ]


_FUSIONS: Mapping[str, Callable[[Ranking, Ranking], list[dict[str, float]]]] = {
    "scores": _share_by_score,
    "rrf": _share_by_rank,
}


def _scale_to_best(ranking: Ranking) -> dict[str, float]:
    """Return the scores divided by the best score: 0 to 1, and 1 for the only hit.

    The worst of several hits keeps a share of the best score. A range from 0 to 1 would set the
    only book of an author beside a chance hit to 1 and 0, however near they are.
    """
    best = max((score for _, score in ranking), default=0.0)
    if best <= 0.0:
        return {book_id: 1.0 for book_id, _ in ranking}
    return {book_id: max(score, 0.0) / best for book_id, score in ranking}


def _scale_to_range(ranking: Ranking) -> dict[str, float]:
    """Return the scores scaled to 0 for the worst and 1 for the best; equal scores become 1.

    The scores of nearest neighbors differ little, for example 0.71 to 0.78.
    """
    scores = [score for _, score in ranking]
    worst, best = min(scores, default=0.0), max(scores, default=0.0)
    if best <= worst:
        return {book_id: 1.0 for book_id, _ in ranking}
    return {book_id: (score - worst) / (best - worst) for book_id, score in ranking}
