"""Reading what a model calls JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.summarizers.llm.fields import SCHEMA, Fields, parse

WHOLE: dict[str, Any] = {
    "title": "The Lamp", "author": "E. Marlowe", "genre": "novel", "setting": "an island",
    "period": "1890s", "plot": "A keeper keeps.", "themes": ["duty", "age"],
    "characters": ["Ada: the keeper"], "keywords": ["lamp"], "summary": "Ada keeps a lamp.",
}  # fmt: skip
READ = Fields(
    "Ada keeps a lamp.", "The Lamp", "E. Marlowe", "novel", "an island", "1890s",
    "A keeper keeps.", ("duty", "age"), ("Ada: the keeper",), ("lamp",),
)  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(WHOLE),
        f"Here it is:\n```json\n{json.dumps(WHOLE, indent=2)}\n```\nI hope it helps!",
        json.dumps(WHOLE).replace("]", ",]").replace('lamp."}', 'lamp.",}'),
        json.dumps({"answer": WHOLE}),
        "A set {of} braces, then " + json.dumps(WHOLE),
        json.dumps(WHOLE).replace("keeps a", "keeps\\n a").replace("\\n", " "),
    ],
)
def test_lenient(text: str) -> None:
    assert parse(text) == READ


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Ada keeps a lamp.",
        "[]",
        "{}",
        '{"summary": ""}',
        '{"summary": 3}',
        '{"summary": "A',
        "{" * 99,
    ],
)
def test_no_summary_no_fields(text: str) -> None:
    assert parse(text) is None


def test_shapes_that_models_make_of_it() -> None:
    said = {
        "summary": "line one\nline two",
        "title": None,
        "author": ["A. One", "B. Two"],
        "period": "Unknown",
        "setting": "N/A",
        "genre": True,
        "themes": "duty; age, duty",
        "characters": [{"name": "Ada", "role": "the keeper", "age": 60}, {"name": "Bo"}, 7, ""],
        "keywords": {"lamp": "a light", "oil": ""},
    }
    found = parse(json.dumps(said))
    assert found
    assert (found.title, found.author, found.genre) == ("", "A. One, B. Two", "")
    assert (found.period, found.setting) == ("", "")
    assert found.themes == ("duty", "age")
    assert found.characters == ("Ada: the keeper, 60", "Bo", "7")
    assert found.keywords == ("lamp: a light", "oil")
    assert found.summary == "line one\nline two"


def test_lengths_are_bounded_and_half_characters_go() -> None:
    said = {**WHOLE, "genre": "word " * 200, "summary": "a\ud800b\x00c", "themes": ["x"] * 3}
    found = parse(json.dumps(said))
    assert found
    assert len(found.genre) <= 200
    assert found.genre.endswith("word")
    assert found.summary == "a?b c"
    assert found.themes == ("x",)


@given(st.text())
def test_anything_may_come(text: str) -> None:
    parse(text)
    found = parse(json.dumps({"summary": text}))
    assert found is None or found.summary.encode()  # a lone surrogate would raise


def test_the_schema_is_strict() -> None:
    assert SCHEMA["additionalProperties"] is False
    assert set(SCHEMA["required"]) == set(SCHEMA["properties"]) == set(WHOLE)
