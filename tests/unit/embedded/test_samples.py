"""The sample books match the description in their README."""

from __future__ import annotations

import importlib.util
import re
from collections import defaultdict
from pathlib import Path

import pytest


def _package_folder() -> Path:
    """Return the folder of the package, without importing it."""
    spec = importlib.util.find_spec("raypipe")
    if spec is not None and spec.origin is not None:
        return Path(spec.origin).parent
    return Path(__file__).resolve().parents[3] / "raypipe"


SAMPLES = _package_folder() / "embedded" / "samples"
VARIANTS = SAMPLES / "variants"
BOOKS = sorted(SAMPLES.glob("*.txt"))

# file name -> (codec, first bytes, line end)
ENCODINGS: dict[str, tuple[str, bytes, str]] = {
    "A_Short_Treatise_of_Ink__by__Anselm_Dace.txt": ("utf-8", b"A SHORT", "\n"),
    "A_Year_Among_the_Hives__by__Jonas_Whitby.txt": ("utf-8-sig", b"\xef\xbb\xbfA YEAR", "\r\n"),
    "Checkmate_at_the_Cafe_Perrault__by__Noel_Davenport.txt": ("cp1252", b"CHECKMATE", "\n"),
    "Der_Nebel_ueber_dem_Moor__by__Hedwig_Brandner.txt": ("latin-1", b"DER NEBEL", "\n"),
    "The_Elephant_in_Winter_Quarters__by__Bruno_Hasek.txt": ("utf-8", b"THE ELEPHANT", "\n"),
    "The_Kite_Maker_of_Lantern_Street__by__Mei_Harcourt.txt": ("utf-16", b"\xff\xfeT\x00", "\n"),
    "nghtm10.txt": ("ascii", b"**The Project Gutenberg Etext", "\r\n"),
    "pg-sample-balloon.txt": ("utf-8", b"The Project Gutenberg eBook", "\n"),
    "pg-sample-canary.txt": ("utf-8", b"The Project Gutenberg EBook", "\n"),
}


def _read_text(path: Path) -> str:
    codec = ENCODINGS[path.name][0] if path.parent.name == "variants" else "utf-8"
    return path.read_bytes().decode(codec).replace("\r\n", "\n")


def _sentences(text: str) -> list[str]:
    """Return sentences of four words or more, without case, punctuation or line ends."""
    joined = re.sub(r"(?<=[a-z])-\n(?=[a-z])", "", text)
    sentences = []
    for block in re.split(r"\n\s*\n", joined):
        for piece in re.split(r"[.!?…]+[\"'”’»)*]*\s+", block):
            words = re.findall(r"\w+", piece.casefold())
            if len(words) >= 4:
                sentences.append(" ".join(words))
    return sentences


def test_there_are_sixteen_books() -> None:
    assert len(BOOKS) == 16


@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.stem)
def test_books_have_500_to_1200_words_and_no_bom(path: Path) -> None:
    data = path.read_bytes()
    assert not data.startswith(b"\xef\xbb\xbf")
    assert b"\r" not in data
    assert 500 <= len(data.decode("utf-8").split()) <= 1200


def test_most_file_names_contain_title_and_author() -> None:
    named = [path for path in BOOKS if "__by__" in path.name]
    assert len(BOOKS) > len(named) > len(BOOKS) / 2
    assert all(re.fullmatch(r"[A-Za-z_]+__by__[A-Za-z_]+\.txt", path.name) for path in named)


def test_no_sentence_occurs_twice() -> None:
    where: dict[str, list[str]] = defaultdict(list)
    for path in [*BOOKS, *sorted(VARIANTS.glob("*.txt"))]:
        for sentence in _sentences(_read_text(path)):
            where[sentence].append(path.name)
    assert len(where) > 1000
    assert {sentence: names for sentence, names in where.items() if len(names) > 1} == {}


def test_one_book_is_french() -> None:
    text = _read_text(SAMPLES / "Le_Levain_de_Saint_Amance__by__Lucien_Garrigue.txt")
    words = re.findall(r"\w+", text.casefold())
    common = {"le", "la", "les", "de", "un", "une", "et", "qui", "dans", "elle", "il"}
    assert sum(word in common for word in words) > len(words) * 0.15
    assert set("éèàçù") <= set(text)


def test_every_variant_is_listed() -> None:
    assert {path.name for path in VARIANTS.glob("*.txt")} == set(ENCODINGS)


@pytest.mark.parametrize("name", sorted(ENCODINGS))
def test_variants_decode_with_their_codec(name: str) -> None:
    codec, opening, line_end = ENCODINGS[name]
    data = (VARIANTS / name).read_bytes()
    assert data.startswith(opening)
    text = data.decode(codec)
    assert text.count("\r\n") == (text.count("\n") if line_end == "\r\n" else 0)
    assert "\ufffd" not in text
    assert 150 <= len(text.split()) <= 400


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Checkmate_at_the_Cafe_Perrault__by__Noel_Davenport.txt", b"\x93\x94\x92\x97\xe9"),
        ("Der_Nebel_ueber_dem_Moor__by__Hedwig_Brandner.txt", b"\xe4\xf6\xfc\xdf\xab\xbb"),
    ],
)
def test_single_byte_variants_are_not_utf8(name: str, expected: bytes) -> None:
    data = (VARIANTS / name).read_bytes()
    assert set(expected) <= set(data)
    with pytest.raises(UnicodeDecodeError):
        data.decode("utf-8")
    if name.startswith("Der_"):  # no byte that differs between Latin-1 and Windows-1252
        assert not any(0x80 <= byte <= 0x9F for byte in data)


@pytest.mark.parametrize(
    ("name", "start", "end", "title", "author"),
    [
        (
            "pg-sample-canary.txt",
            "*** START OF THIS PROJECT GUTENBERG EBOOK THE CANARY OF NUMBER FOUR PIT ***",
            "*** END OF THIS PROJECT GUTENBERG EBOOK THE CANARY OF NUMBER FOUR PIT ***",
            "The Canary of Number Four Pit",
            "Owen Trevanion",
        ),
        (
            "pg-sample-balloon.txt",
            "***START OF THE PROJECT GUTENBERG EBOOK ABOVE THE WEATHER***",
            "***END OF THE PROJECT GUTENBERG EBOOK ABOVE THE WEATHER***",
            "Above the Weather",
            "Leontine Farrow",
        ),
    ],
)
def test_variants_with_a_library_wrapper(
    name: str, start: str, end: str, title: str, author: str
) -> None:
    lines = _read_text(VARIANTS / name).split("\n")
    assert lines.count(start) == 1
    assert lines.count(end) == 1
    first, last = lines.index(start), lines.index(end)
    assert {f"Title: {title}", f"Author: {author}", "Language: English"} <= set(lines[:first])
    inside = [line for line in lines[first + 1 : last] if line]
    assert inside[0].startswith("Produced by ")
    assert inside[-1] == f"End of the Project Gutenberg EBook of {title}, by {author}"
    assert len(" ".join(inside).split()) >= 150
    assert any(lines[last + 1 :])


def test_variant_with_an_old_library_wrapper() -> None:
    lines = _read_text(VARIANTS / "nghtm10.txt").split("\n")
    small_print = lines.index("*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*")
    last = lines.index("End of Project Gutenberg's The Night Mail, by Gideon Stroud")
    assert len(" ".join(lines[small_print + 1 : last]).split()) >= 150


def test_variants_with_long_lines_and_hyphens() -> None:
    long_lines = _read_text(VARIANTS / "The_Elephant_in_Winter_Quarters__by__Bruno_Hasek.txt")
    assert max(map(len, long_lines.split("\n"))) > 300
    hyphenated = _read_text(VARIANTS / "A_Short_Treatise_of_Ink__by__Anselm_Dace.txt")
    assert max(map(len, hyphenated.split("\n"))) <= 36
    assert len(re.findall(r"[a-z]-\n[a-z]", hyphenated)) >= 5


def test_readme_lists_every_file() -> None:
    readme = (SAMPLES / "README.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `([^`]+\.txt)` \|", readme, re.MULTILINE))
    assert listed == {path.relative_to(SAMPLES).as_posix() for path in SAMPLES.rglob("*.txt")}
    assert "Apache License, Version 2.0" in readme
    assert len(re.findall(r"^\d\. `[^`]+`: ", readme.split("## Three")[1], re.MULTILINE)) == 3
