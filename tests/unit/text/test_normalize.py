from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from raypipe.text.normalize import normalize_characters
from raypipe.text.unwrap import unwrap_lines


def test_normalizes_characters() -> None:
    text = "\ufeffCafe\u0301\r\nsoft\u00adhyphen\x00\rnext\u200b\x0cpage\ud800"
    assert normalize_characters(text) == "Caf\u00e9\nsofthyphen\nnext\n\npage\ufffd"


@given(st.text(alphabet=st.characters()))
def test_any_text_becomes_nfc_that_utf8_can_encode(text: str) -> None:
    normalized = normalize_characters(text)
    assert normalized.encode().decode() == normalized
    assert unicodedata.is_normalized("NFC", normalized)
    assert not set(normalized) & {"\x00", "\r", "\x0b", "\ufeff"}
    unwrap_lines(normalized)


def test_drops_soft_hyphens() -> None:
    assert normalize_characters("light\u00adhouse") == "lighthouse"
