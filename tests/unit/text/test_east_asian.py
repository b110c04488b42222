from __future__ import annotations

import pytest

from raypipe.text.east_asian import guess_east_asian, rate_east_asian
from tests.benchmarks.encoding_texts import TEXTS


@pytest.mark.parametrize(
    ("language", "encoding"),
    [
        ("ja", "shift_jis"), ("ja", "euc_jp"), ("zh-hans", "gb18030"), ("zh-hant", "big5"),
        ("zh-hant", "gb18030"), ("ko", "euc_kr"), ("ko", "johab"),
    ],
)  # fmt: skip
def test_the_encoding_gives_usual_characters(language: str, encoding: str) -> None:
    data = TEXTS[language].encode(encoding)
    guess = guess_east_asian(data)
    assert guess is not None
    assert data.decode(guess.encoding) == TEXTS[language]
    assert guess.fit > 0.9


@pytest.mark.parametrize(("language", "encoding"), [("ru", "cp1251"), ("th", "cp874")])
def test_other_languages_do_not_fit(language: str, encoding: str) -> None:
    guess = guess_east_asian(TEXTS[language].encode(encoding))
    assert guess is None or guess.fit < 0.5


def test_rare_characters_are_no_text() -> None:
    assert rate_east_asian(TEXTS["zh-hans"]) == 1
    assert rate_east_asian("".join(map(chr, range(0x4E00, 0x5E00, 7)))) < 0.5
