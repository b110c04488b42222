"""Checks of the retrieval benchmark's descriptions that need no book."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

_MODULE_PATH = Path(__file__).parents[2] / "benchmarks" / "descriptions.py"


def _load_module() -> ModuleType:
    """Loads the benchmark's module by its path, wherever pytest was started."""
    spec = importlib.util.spec_from_file_location("benchmark_descriptions", _MODULE_PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # a dataclass looks its own module up
    spec.loader.exec_module(module)
    return module


_module = _load_module()
check_against: Callable[[str, str], list[str]] = _module.check_against
BOOKS: list[Any] = _module.load_descriptions()
DESCRIPTIONS: list[str] = [text for book in BOOKS for text in book.descriptions]

TINY_BOOK = """\
Title: The Glass Orchard
Author: Ottoline Brack

The miller of Sandovia kept bees. Every night Marrable, his dog, would bark at
the moon; the miller's neighbour said nothing. "Come here, Marrable," he called.
The orchard gate stood open, and the dog ran far away over the frozen river.
"""


def test_there_are_three_descriptions_for_each_of_eight_books() -> None:
    assert len({book.book for book in BOOKS}) == len(BOOKS) == 8
    assert [len(book.descriptions) for book in BOOKS] == [3] * 8


def test_every_description_is_there_once() -> None:
    assert len(set(DESCRIPTIONS)) == 24


@pytest.mark.parametrize("description", DESCRIPTIONS)
def test_a_description_has_ten_to_thirty_words(description: str) -> None:
    assert 10 <= len(description.split()) <= 30


@pytest.mark.parametrize("description", DESCRIPTIONS)
def test_a_description_capitalises_its_first_word_only(description: str) -> None:
    later = description.split()[1:]
    assert [word for word in later if word != word.lower() and word != "I"] == []


@pytest.mark.parametrize("description", DESCRIPTIONS)
def test_a_description_quotes_nothing(description: str) -> None:
    assert not set(description) & set('"“”«»')


def test_a_description_in_its_own_words_passes() -> None:
    assert check_against(TINY_BOOK, "A beekeeper's hound escapes across winter ice") == []


@pytest.mark.parametrize(
    "description",
    [
        "a pet that ran far away over there",
        "a pet that RAN, far-away: over there",
        "Ran far away\nover there",
    ],
)
def test_four_words_in_a_row_are_found(description: str) -> None:
    assert check_against(TINY_BOOK, description) == ["words of the book: ran far away over"]


def test_an_apostrophe_does_not_hide_a_run() -> None:
    assert check_against(TINY_BOOK, "the miller’s neighbour said little") == [
        "words of the book: the millers neighbour said"
    ]


def test_three_words_in_a_row_are_allowed() -> None:
    assert check_against(TINY_BOOK, "something ran far away from home") == []


@pytest.mark.parametrize("word", ["marrable", "Marrable’s", "sandovia"])
def test_a_name_is_found_in_any_case(word: str) -> None:
    found = check_against(TINY_BOOK, f"a story about {word} barking")
    assert found == [f"name: {word.casefold().removesuffix('’s')}"]


def test_a_word_derived_from_a_name_is_found() -> None:
    assert check_against(TINY_BOOK, "some sandovian honey") == ["name: sandovian"]


def test_title_and_author_are_found() -> None:
    found = check_against(TINY_BOOK, "fruit trees in an orchard by brack")
    assert found[:2] == ["title or author: orchard", "title or author: brack"]


def test_a_common_word_that_opens_a_sentence_is_no_name() -> None:
    assert check_against(TINY_BOOK, "the frozen river and the dog") == []
