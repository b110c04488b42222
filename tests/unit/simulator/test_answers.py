"""Token counts, extractive answers, JSON that fits a schema, embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raypipe import embedded
from raypipe.simulator import answers
from raypipe.simulator.embeddings import embed
from raypipe.simulator.schemas import SchemaFiller
from raypipe.simulator.tokens import count_tokens, truncate_to_tokens

SAMPLES = Path(embedded.__file__).parent / "samples"
WRECK = (SAMPLES / "The_Wreck_of_the_Jenny_Petrel__by__Amos_Thorne.txt").read_text("utf-8")
LAMP = (SAMPLES / "The_Lamp_on_Harrow_Point__by__Edith_Marlowe.txt").read_text("utf-8")


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ("é" * 4, 2), ("書", 1)]
)
def test_tokens_are_utf8_bytes_over_four_rounded_up(text: str, tokens: int) -> None:
    assert count_tokens(text) == tokens


def test_a_text_is_truncated_to_a_number_of_tokens() -> None:
    assert truncate_to_tokens("abcdefgh", 1) == "abcd"
    assert truncate_to_tokens("aéé", 1) == "aé"  # never inside a character
    assert count_tokens(truncate_to_tokens(WRECK, 100)) == 100


def test_a_summary_consists_of_sentences_of_the_text() -> None:
    prompt = f"Summarize this.\n<book>\n{WRECK}\n</book>\nBe brief."
    text = answers.summarize(prompt, 200, 4.0)
    flat = " ".join(WRECK.split())
    sentences, _, names = text.partition(" It tells of ")
    assert names == "Captain Maddern, Tom Pascoe, Garrow, Hobart."
    assert 80 <= count_tokens(text) <= 220
    assert sentences[:40] in flat
    assert sentences[-40:] in flat
    assert "Be brief" not in text
    assert text == answers.summarize(prompt, 200, 4.0)


def test_sentences_come_from_the_whole_text_in_order() -> None:
    sentences = answers.sample_sentences(WRECK, 10)
    flat = " ".join(WRECK.split())
    positions = [flat.index(sentence) / len(flat) for sentence in sentences]
    assert positions == sorted(positions)
    assert positions[0] < 0.05
    assert positions[-1] > 0.85


def test_a_summary_keeps_to_the_requested_number_of_words() -> None:
    prompt = f"Summarize in at most 60 words.\n<book>\n{WRECK}\n</book>"
    assert 25 <= len(answers.summarize(prompt, 500, 4.0).split()) <= 60


def test_any_text_has_a_summary() -> None:
    for text in ("x", "word " * 500, "\n\n\n", "1234 5678. " * 50):
        assert isinstance(answers.summarize(text, 50, 4.0), str)


SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["title", "summary"],
    "additionalProperties": False,
    "properties": {
        "title": {"type": "string", "maxLength": 30},
        "summary": {"type": "string", "minLength": 100},
        "genre": {"enum": ["novel", "play", "verse"]},
        "year": {"type": "integer", "minimum": 1800, "maximum": 1899},
        "score": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
        "illustrated": {"type": "boolean"},
        "themes": {"type": "array", "items": {"type": "string"}, "minItems": 4, "maxItems": 5},
        "characters": {"type": "array", "items": {"$ref": "#/$defs/person"}},
        "place": {"anyOf": [{"type": "object", "properties": {"name": {"type": "string"}}}]},
        "kind": {"const": "book"},
    },
    "$defs": {
        "person": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "role": {"type": "string"}},
        }
    },
}


def test_filled_json_fits_its_schema() -> None:
    filled = SchemaFiller(SCHEMA, f"<book>{WRECK}</book>", 400).fill()
    assert set(filled) == set(SCHEMA["properties"])
    assert 0 < len(filled["title"]) <= 30
    assert 100 <= len(filled["summary"]) <= 700
    assert filled["genre"] in SCHEMA["properties"]["genre"]["enum"]
    assert isinstance(filled["year"], int)
    assert 1800 <= filled["year"] <= 1899
    assert 0 <= filled["score"] <= 1
    assert isinstance(filled["illustrated"], bool)
    assert 4 <= len(filled["themes"]) <= 5
    assert all(isinstance(theme, str) and theme for theme in filled["themes"])
    assert [set(character) for character in filled["characters"]] == [{"name", "role"}] * 3
    assert filled["place"]["name"]
    assert filled["kind"] == "book"
    assert filled == SchemaFiller(SCHEMA, f"<book>{WRECK}</book>", 400).fill()
    assert filled["summary"] != SchemaFiller(SCHEMA, LAMP, 400).fill()["summary"]


def test_a_recursive_schema_is_filled() -> None:
    tree = {"type": "object", "properties": {"child": {"$ref": "#"}}}
    assert SchemaFiller(tree, WRECK, 100).fill()["child"]["child"]


def test_vectors_are_normalized_and_near_for_shared_words() -> None:
    wreck, lamp = embed(WRECK, 256), embed(LAMP, 256)
    query = embed("a mutiny on a ship, the captain's wife alone with the mate", 256)
    assert wreck.shape == (256,)
    assert np.linalg.norm(wreck) == pytest.approx(1.0)
    assert query @ wreck > query @ lamp
    assert np.array_equal(wreck, embed(WRECK, 256))
    assert np.linalg.norm(embed("", 16)) == pytest.approx(1.0)
