from __future__ import annotations

import pytest

from raypipe.text.wide_encodings import decode_escapes, likely_wide_encodings
from tests.benchmarks.encoding_texts import TEXTS


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize("language", ["fr", "ru", "he", "th", "zh-hans", "ja", "ko"])
def test_wide_encodings_are_recognized_without_a_mark(language: str, encoding: str) -> None:
    data = f"{TEXTS[language]}\r\n".encode(encoding) * 3
    assert next(likely_wide_encodings(data)) == encoding


@pytest.mark.parametrize(
    "data",
    [
        b"", b"Bush hid the facts", b"a b c d e f g " * 40, b"a\nb\nc\nd\n" * 40,
        TEXTS["ru"].encode("cp1251"), TEXTS["ja"].encode("euc_jp"), TEXTS["zh-hans"].encode(),
        bytes(range(256)) * 4,
    ],
)  # fmt: skip
def test_other_files_are_not_wide(data: bytes) -> None:
    assert list(likely_wide_encodings(data)) == []


@pytest.mark.parametrize(
    ("language", "encoding"), [("ja", "iso2022_jp"), ("ko", "iso2022_kr"), ("zh-hans", "hz")]
)
def test_escape_sequences_are_decoded(language: str, encoding: str) -> None:
    text = f"{TEXTS[language]}\n" * 3
    found = decode_escapes(text.encode(encoding))
    assert found is not None
    assert found[0] == text


def test_text_without_escape_sequences_is_left_alone() -> None:
    assert decode_escapes(b"He wrote ~{ and ~} in the margin.\n" * 9) is None
    assert decode_escapes(TEXTS["fr"].encode()) is None
