"""Tokens, extractive answers, JSON that fits a schema, vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raypipe import embedded
from raypipe.simulator import answers
from raypipe.simulator.calls import base_model, count_tokens, cut_to_tokens
from raypipe.simulator.embeddings import embed
from raypipe.simulator.schemas import Filler

SAMPLES = Path(embedded.__file__).parent / "samples"
WRECK = (SAMPLES / "The_Wreck_of_the_Jenny_Petrel__by__Amos_Thorne.txt").read_text("utf-8")
LAMP = (SAMPLES / "The_Lamp_on_Harrow_Point__by__Edith_Marlowe.txt").read_text("utf-8")


@pytest.mark.parametrize(
    ("text", "tokens"), [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ("é" * 4, 2), ("書", 1)]
)
def test_tokens_are_utf8_bytes_over_four_rounded_up(text: str, tokens: int) -> None:
    assert count_tokens(text) == tokens


def test_a_text_is_cut_at_its_tokens() -> None:
    assert cut_to_tokens("abcdefgh", 1) == "abcd"
    assert cut_to_tokens("aéé", 1) == "aé"  # never in the middle of a character
    assert count_tokens(cut_to_tokens(WRECK, 100)) == 100


@pytest.mark.parametrize(
    "named",
    [
        "amazon.nova-lite-v1:0",
        "us.amazon.nova-lite-v1:0",
        "global.amazon.nova-lite-v1:0",
        "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0",
        "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.amazon.nova-lite-v1:0",
    ],
)
def test_a_model_is_the_same_by_all_its_names(named: str) -> None:
    assert base_model(named) == "amazon.nova-lite-v1:0"


def test_an_answer_is_made_of_the_texts_own_sentences() -> None:
    prompt = f"Summarize this.\n<book>\n{WRECK}\n</book>\nBe brief."
    text = answers.summary(prompt, 200, 4.0)
    flat = " ".join(WRECK.split())
    taken, _, told = text.partition(" It tells of ")
    assert told == "Captain Maddern, Tom Pascoe, Garrow, Hobart."
    assert 80 <= count_tokens(text) <= 220
    assert taken[:40] in flat
    assert taken[-40:] in flat
    assert "Be brief" not in text
    assert text == answers.summary(prompt, 200, 4.0)


def test_it_takes_from_the_whole_text() -> None:
    parts = answers.spread(WRECK, 10)
    flat = " ".join(WRECK.split())
    places = [flat.index(part) / len(flat) for part in parts]
    assert places == sorted(places)
    assert places[0] < 0.05
    assert places[-1] > 0.85


def test_a_number_of_words_is_kept() -> None:
    prompt = f"Summarize in at most 60 words.\n<book>\n{WRECK}\n</book>"
    assert 25 <= len(answers.summary(prompt, 500, 4.0).split()) <= 60


def test_any_text_gets_an_answer() -> None:
    for text in ("x", "word " * 500, "\n\n\n", "1234 5678. " * 50):
        assert isinstance(answers.summary(text, 50, 4.0), str)


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


def test_json_fits_its_schema() -> None:
    filled = Filler(SCHEMA, f"<book>{WRECK}</book>", 400).fill()
    assert set(filled) == set(SCHEMA["properties"])
    assert 0 < len(filled["title"]) <= 30
    assert 100 <= len(filled["summary"]) <= 700
    assert filled["genre"] in SCHEMA["properties"]["genre"]["enum"]
    assert isinstance(filled["year"], int)
    assert 1800 <= filled["year"] <= 1899
    assert 0 <= filled["score"] <= 1
    assert isinstance(filled["illustrated"], bool)
    assert 4 <= len(filled["themes"]) <= 5
    assert all(isinstance(one, str) and one for one in filled["themes"])
    assert [set(one) for one in filled["characters"]] == [{"name", "role"}] * 3
    assert filled["place"]["name"]
    assert filled["kind"] == "book"
    assert filled == Filler(SCHEMA, f"<book>{WRECK}</book>", 400).fill()
    assert filled["summary"] != Filler(SCHEMA, LAMP, 400).fill()["summary"]


def test_a_schema_that_refers_to_itself_ends() -> None:
    tree = {"type": "object", "properties": {"child": {"$ref": "#"}}}
    assert Filler(tree, WRECK, 100).fill()["child"]["child"]


def test_vectors_have_length_one_and_tell_texts_apart() -> None:
    wreck, lamp = embed(WRECK, 256), embed(LAMP, 256)
    asked = embed("a mutiny on a ship, the captain's wife alone with the mate", 256)
    assert wreck.shape == (256,)
    assert np.linalg.norm(wreck) == pytest.approx(1.0)
    assert asked @ wreck > asked @ lamp
    assert np.array_equal(wreck, embed(WRECK, 256))
    assert np.linalg.norm(embed("", 16)) == pytest.approx(1.0)
