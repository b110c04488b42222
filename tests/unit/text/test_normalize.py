from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.text.normalize import normalize_characters
from raypipe.text.unwrap import unwrap_lines


def test_normalizes_characters() -> None:
    text = "\ufeffCafe\u0301\r\nsoft\u00adhyphen\x00\rnext\u200b\x0cpage\ud800"
    assert normalize_characters(text) == "Caf\u00e9\nsofthyphen\nnext\x0cpage\ufffd"


@given(st.text(alphabet=st.characters()))
def test_any_text_becomes_nfc_that_utf8_can_encode(text: str) -> None:
    normalized = normalize_characters(text)
    assert normalized.encode().decode() == normalized
    assert unicodedata.is_normalized("NFC", normalized)
    assert not set(normalized) & {"\x00", "\r", "\x0b", "\ufeff"}
    unwrap_lines(normalized)


def test_drops_soft_hyphens() -> None:
    assert normalize_characters("light\u00adhouse") == "lighthouse"


@pytest.mark.parametrize("ends", ["\r\r\n", "\r\n", "\r", "\n", "\r\r\r\n", "\x0b"])
@pytest.mark.parametrize("word", ["caf\u00e9", "cafe"])
def test_line_ends_of_any_origin_are_one_line_end(ends: str, word: str) -> None:
    text = f"{word}\n\nand\nmore\n".replace("\n", ends)
    assert normalize_characters(text) == f"{word}\n\nand\nmore\n"
