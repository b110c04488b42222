"""Fusion of the hits by words and by vector: by score and by rank."""

from __future__ import annotations

import pytest

from raypipe.core.errors import SetupError
from raypipe.core.search_options import FUSIONS, SearchOptions
from raypipe.opensearch.search.fusion import Ranking, fuse


def test_scores_are_divided_by_the_best_and_nearness_is_scaled_to_its_range() -> None:
    fused = fuse([("a", 8.0), ("b", 6.0)], [("b", 0.8), ("c", 0.7), ("a", 0.6)], "scores")
    assert fused == [
        ("b", pytest.approx(0.75 + 0.3)),
        ("a", pytest.approx(1.0)),
        ("c", pytest.approx(0.15)),
    ]


def test_the_worst_hit_by_words_keeps_its_share() -> None:
    # Two books of the searched author; the nearest vector belongs to another book.
    words = [("first", 9.0), ("second", 8.9)]
    fused = fuse(words, [("other", 0.9), ("first", 0.5)], "scores")
    assert [book_id for book_id, _ in fused] == ["first", "second", "other"]


@pytest.mark.parametrize(
    ("words", "vectors", "expected"),
    [
        ([("a", 3.0)], [], [("a", 1.0)]),
        ([], [("a", 0.6)], [("a", 0.3)]),
        ([("a", 3.0)], [("b", 0.6)], [("a", 1.0), ("b", 0.3)]),
        ([("a", 3.0)], [("a", 0.6)], [("a", 1.3)]),
        ([], [("b", 0.6), ("a", 0.6)], [("a", 0.3), ("b", 0.3)]),
        ([("b", 2.0), ("a", 2.0)], [], [("a", 1.0), ("b", 1.0)]),
        ([], [], []),
        # Lucene has no negative scores; a boost of 0 gives scores of 0.
        ([("b", 0.0), ("a", 0.0)], [], [("a", 1.0), ("b", 1.0)]),
        ([("a", 2.0), ("b", -1.0)], [], [("a", 1.0), ("b", 0.0)]),
        ([], [("a", -0.5), ("b", -1.5)], [("a", 0.3), ("b", 0.0)]),
    ],
)
def test_lone_equal_and_missing_hits(words: Ranking, vectors: Ranking, expected: Ranking) -> None:
    assert fuse(words, vectors, "scores") == [
        (book_id, pytest.approx(score)) for book_id, score in expected
    ]


def test_ranks_are_fused_with_60_and_ties_are_sorted_by_id() -> None:
    words, vectors = [("a", 9.0), ("b", 1.0), ("c", 0.5)], [("b", 0.9), ("d", 0.1)]
    assert fuse(words, vectors, "rrf") == [
        ("b", pytest.approx(1 / 62 + 1 / 61)),
        ("a", pytest.approx(1 / 61)),
        ("d", pytest.approx(1 / 62)),
        ("c", pytest.approx(1 / 63)),
    ]
    assert [book_id for book_id, _ in fuse([("z", 1.0)], [("y", 1.0)], "rrf")] == ["y", "z"]
    assert fuse([], [], "rrf") == []


@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_option_is_a_fusion_that_keeps_every_hit(fusion: str) -> None:
    SearchOptions(fusion)
    fused = fuse([("a", 2.0), ("b", 1.0)], [("c", 0.9), ("d", 0.1)], fusion)
    assert {book_id for book_id, _ in fused} == {"a", "b", "c", "d"}


def test_an_unknown_fusion_is_named_with_its_choices() -> None:
    with pytest.raises(SetupError, match="fusion=sum: choose scores or rrf"):
        fuse([], [], "sum")
