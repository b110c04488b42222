from __future__ import annotations

import pytest

from raypipe.text.mixed_encodings import decode_mixed
from tests.benchmarks.encoding_texts import TEXTS


@pytest.mark.parametrize(
    ("language", "encoding"),
    [("fr", "cp1252"), ("pl", "iso8859-2"), ("ru", "cp1251"), ("el", "cp1253"), ("ja", "cp932")],
)
@pytest.mark.parametrize("valid", [2, 9])
def test_lines_in_another_encoding_are_repaired(language: str, encoding: str, valid: int) -> None:
    line = TEXTS[language].replace("œ", "oe") + "\n"
    mixed = decode_mixed((line * valid).encode() + (line * 4).encode(encoding))
    assert mixed == (line * (valid + 4), True)


def test_bytes_in_a_line_of_utf8_are_repaired() -> None:
    line = "The café’s owner — naïve — wrote “resumé” in it.\n"
    data = (line * 9).encode() + "The ‘café’ déjà vu — là".encode().replace(b"\xc3\xa9", b"\xe9")
    mixed = decode_mixed(data)
    assert mixed == (line * 9 + "The ‘café’ déjà vu — là", True)


def test_a_cut_character_is_not_taken_for_letters() -> None:
    line = "Il était là — “déjà”.\n" * 9
    mixed = decode_mixed(line.encode() + "…".encode()[:2])
    assert mixed == (line + "\ufffd", False)


@pytest.mark.parametrize(
    ("language", "encoding"),
    [("fr", "cp1252"), ("ru", "cp1251"), ("ru", "cp866"), ("ja", "euc_jp"), ("zh-hans", "gbk")],
)
def test_files_in_one_other_encoding_are_not_mixed(language: str, encoding: str) -> None:
    assert decode_mixed(f"{TEXTS[language]}\n".encode(encoding) * 20) is None
