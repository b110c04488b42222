from __future__ import annotations

import pytest

from raypipe.text.code_pages import guess_code_page, rate_text, take_sample
from tests.benchmarks.encoding_texts import TEXTS, encode_text

ENGLISH = "The river would not wait for any of them, and nobody had asked for it.\n" * 40


@pytest.mark.parametrize(
    ("language", "encoding"),
    [
        ("fr", "iso8859-15"), ("de", "mac_roman"), ("pl", "cp1250"), ("hu", "cp852"),
        ("tr", "cp1254"), ("lv", "cp1257"), ("lt", "iso8859-4"), ("eo", "iso8859-3"),
        ("vi", "cp1258"), ("ru", "koi8-r"), ("uk", "koi8-u"), ("sr", "iso8859-5"),
        ("el", "iso8859-7"), ("he", "cp862"), ("ar", "cp1256"), ("th", "cp874"),
    ],
)  # fmt: skip
def test_the_code_page_fits_the_language(language: str, encoding: str) -> None:
    _, data = encode_text(f"{TEXTS[language]}\n" * 5, encoding)
    guess = guess_code_page(data)
    assert guess is not None
    assert data.decode(guess.encoding) == data.decode(encoding)
    assert guess.fit > 0.95


@pytest.mark.parametrize(
    ("line", "encoding"),
    [
        ("the café there", "cp1252"),
        ("the café there", "mac_roman"),
        ("it cost £5 then", "cp1252"),
        ("at 5° north, ½ mile, § 3, 5×3", "cp1252"),
        ("“I am,” he said — and so he was", "mac_roman"),
    ],
)
def test_a_few_signs_in_english_are_enough(line: str, encoding: str) -> None:
    data = f"{ENGLISH}{line}\n{ENGLISH}".encode(encoding)
    guess = guess_code_page(data)
    assert guess is not None
    assert data.decode(guess.encoding) == data.decode(encoding)


def test_quotation_marks_of_a_language_without_alphabet_stay_signs() -> None:
    malay = "“Tiada siapa di sini,” katanya, lalu duduk di tepi jendela dan menulis surat.\n" * 20
    guess = guess_code_page(malay.encode("cp1252"))
    assert guess is not None
    assert (guess.encoding, guess.fit) == ("cp1252", 1)


def test_a_wrong_code_page_fits_worse() -> None:
    turkish = TEXTS["tr"]
    assert rate_text(turkish, "tr") == 1
    assert rate_text(turkish.encode("cp1254").decode("cp1252"), "tr") < 0.8
    assert rate_text(TEXTS["ru"].encode("koi8-r").decode("cp1251"), "ru") < 0.7
    assert rate_text(TEXTS["he"][::-1], "he") < 0.8, "Hebrew from left to right"


def test_text_that_is_ascii_needs_no_code_page() -> None:
    assert guess_code_page(ENGLISH.encode()) is None


def test_the_sample_comes_from_the_whole_file() -> None:
    data = b"\n".join(b"line %d \xe9" % number for number in range(10_000))
    sample = take_sample(data, limit=1_000)
    assert len(sample) < 1_100
    assert sample.split()[-2] > b"9000"
