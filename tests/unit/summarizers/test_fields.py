"""Reading the JSON answers of models."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.summarizers.llm.fields import SCHEMA, BookFields, parse_fields

ANSWER: dict[str, Any] = {
    "title": "The Lamp", "author": "E. Marlowe", "genre": "novel", "setting": "an island",
    "period": "1890s", "plot": "A keeper keeps.", "themes": ["duty", "age"],
    "characters": ["Ada: the keeper"], "keywords": ["lamp"], "summary": "Ada keeps a lamp.",
}  # fmt: skip
EXPECTED = BookFields(
    "Ada keeps a lamp.", "The Lamp", "E. Marlowe", "novel", "an island", "1890s",
    "A keeper keeps.", ("duty", "age"), ("Ada: the keeper",), ("lamp",),
)  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(ANSWER),
        f"Here it is:\n```json\n{json.dumps(ANSWER, indent=2)}\n```\nI hope it helps!",
        json.dumps(ANSWER).replace("]", ",]").replace('lamp."}', 'lamp.",}'),
        json.dumps({"answer": ANSWER}),
        "A set {of} braces, then " + json.dumps(ANSWER),
        json.dumps(ANSWER).replace("keeps a", "keeps\\n a").replace("\\n", " "),
    ],
)
def test_accepts_deviations_from_json(text: str) -> None:
    assert parse_fields(text) == EXPECTED


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
def test_an_answer_without_a_summary_has_no_fields(text: str) -> None:
    assert parse_fields(text) is None


def test_accepts_other_types_of_values() -> None:
    values = {
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
    fields = parse_fields(json.dumps(values))
    assert fields
    assert (fields.title, fields.author, fields.genre) == ("", "A. One, B. Two", "")
    assert (fields.period, fields.setting) == ("", "")
    assert fields.themes == ("duty", "age")
    assert fields.characters == ("Ada: the keeper, 60", "Bo", "7")
    assert fields.keywords == ("lamp: a light", "oil")
    assert fields.summary == "line one\nline two"


def test_limits_lengths_and_removes_half_characters() -> None:
    values = {**ANSWER, "genre": "word " * 200, "summary": "a\ud800b\x00c", "themes": ["x"] * 3}
    fields = parse_fields(json.dumps(values))
    assert fields
    assert len(fields.genre) <= 200
    assert fields.genre.endswith("word")
    assert fields.summary == "a?b c"
    assert fields.themes == ("x",)


@given(st.text())
def test_any_text_is_accepted(text: str) -> None:
    parse_fields(text)
    fields = parse_fields(json.dumps({"summary": text}))
    assert fields is None or fields.summary.encode()  # a lone surrogate would raise


def test_the_schema_requires_all_fields() -> None:
    assert SCHEMA["additionalProperties"] is False
    assert set(SCHEMA["required"]) == set(SCHEMA["properties"]) == set(ANSWER)
