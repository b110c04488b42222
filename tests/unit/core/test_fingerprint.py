from __future__ import annotations

import re
from typing import Any

import pytest

from raypipe.core.fingerprint import differences, fingerprint, recipe_of

TEXT: dict[str, Any] = {"cleaner": 1, "splitter": 2}
SUMMARY: dict[str, Any] = {"model": "m", "temperature": 0.0, "prompts": ["a", "b"]}
EMBEDDER: dict[str, Any] = {"model": "e", "dimension": 256}


def test_recipes_are_nested() -> None:
    base = recipe_of(TEXT, SUMMARY, EMBEDDER)
    assert all(
        re.fullmatch("[0-9a-f]{16}", digits) for digits in (base.text, base.summary, base.document)
    )
    embedder = recipe_of(TEXT, SUMMARY, {**EMBEDDER, "dimension": 512})
    assert (embedder.text, embedder.summary) == (base.text, base.summary)
    assert embedder.document != base.document
    summary = recipe_of(TEXT, {**SUMMARY, "model": "n"}, EMBEDDER)
    assert summary.text == base.text
    assert summary.summary != base.summary
    assert summary.document != base.document
    text = recipe_of({**TEXT, "cleaner": 2}, SUMMARY, EMBEDDER)
    assert {text.text, text.summary, text.document}.isdisjoint(
        {base.text, base.summary, base.document}
    )
    schema = recipe_of(TEXT, SUMMARY, EMBEDDER, document_version=2)
    assert schema.summary == base.summary
    assert schema.document != base.document


def test_fingerprints_never_change() -> None:
    """After a change, every user pays for every book again."""
    assert recipe_of(TEXT, SUMMARY, EMBEDDER) == recipe_of(TEXT, SUMMARY, EMBEDDER)
    assert fingerprint({"b": [1, 2.5, None, True], "a": {"ü": "x"}}) == "5ae6711a7b0bec94"


@pytest.mark.parametrize(
    "other",
    [
        {"b": 1, "a": (1, 2)},  # order of keys, tuple for list
        {"a": [1.0, 2], "b": 1.0},
        {"b": True + 0, "a": [1, 2]},
    ],
)
def test_equal_values_have_the_same_fingerprint(other: dict[str, Any]) -> None:
    assert fingerprint(other) == fingerprint({"a": [1, 2], "b": 1})


@pytest.mark.parametrize(
    "other",
    [{"a": 2}, {"a": "1"}, {"a": True}, {"a": None}, {"b": 1}, {"a": 1, "b": None}, {"a": [1]}, {}],
)
def test_different_values_have_another_fingerprint(other: dict[str, Any]) -> None:
    assert fingerprint(other) != fingerprint({"a": 1})


def test_minus_zero_is_zero() -> None:
    assert fingerprint({"a": -0.0}) == fingerprint({"a": 0})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_must_be_finite(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        fingerprint({"a": value})


@pytest.mark.parametrize("value", [{1, 2}, object(), b"x", {1: 2}])
def test_other_types_are_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        fingerprint({"a": value})


def test_differences_are_listed_by_path() -> None:
    old = {"model": "a", "same": 1, "deep": {"x": 1.0, "gone": [1]}}
    new = {"model": "b", "same": 1.0, "deep": {"x": 2}, "added": None}
    assert differences(old, new) == [
        "added: nothing -> null",
        "deep.gone: [1] -> nothing",
        "deep.x: 1 -> 2",
        'model: "a" -> "b"',
    ]
    assert differences(old, old) == []
