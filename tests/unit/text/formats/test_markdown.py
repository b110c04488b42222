"""Markdown is read without its marks, and with the fields of its header."""

from __future__ import annotations

import pytest

from raypipe.text import TextCleaner
from raypipe.text.formats import ExtractedText
from raypipe.text.formats.markdown import MarkdownFormat
from tests.unit.text.formats.books import PARAGRAPH


def read(text: str) -> ExtractedText:
    return MarkdownFormat().read(text.encode(), "a.md", 1 << 20)


@pytest.mark.parametrize(
    ("marked", "plain"),
    [
        ("a *b* **c** ***d*** _e_ __f__ `g`", "a b c d e f g"),
        ("snake_case_name and 2*3*4", "snake_case_name and 2*3*4"),
        ("[text](http://x.org 'y') and [text][1] <http://x.org>", "text and text http://x.org"),
        ("![image](a.png)text", "text"),
        ("> quoted\n> lines", "quoted\nlines"),
        ("text[^1]\n\n[^1]: A note\n    with lines.", "text"),
        ("text\n\n[1]: http://x.org", "text"),
        ("a<br>b<br />\nc <!-- no -->", "a\nb\nc"),
        ("hard  \nbreak\\\nhere", "hard\nbreak\nhere"),
        (r"1\. \*no emphasis\*", "1. *no emphasis*"),
        ("* * *\n\ntext\n\n---", "text"),
        ("```python\ncode\n```", "code"),
    ],
)
def test_marks_are_removed(marked: str, plain: str) -> None:
    assert read(marked).text.strip() == plain


def test_headings_are_paragraphs() -> None:
    extracted = read("# One #\ntext\n\nTwo\n===\n\nmore\n## Three {#id}\n#### Four\n#no heading")
    assert extracted.headings == ("One", "Two", "Three")
    paragraphs = [part for part in extracted.text.split("\n\n") if part.strip()]
    assert [part.strip() for part in paragraphs] == [
        *("One", "text", "Two", "more", "Three", "Four", "#no heading"),
    ]


def test_the_header_states_the_metadata() -> None:
    metadata = read(
        '---\ntitle: "The Lamp"\nauthor: [Ada Keeper]\nlang: en\ndate: 1901\n---\ntext'
    ).metadata
    assert (metadata.title, metadata.authors) == ("The Lamp", ("Ada Keeper",))
    assert (metadata.language, metadata.date) == ("en", "1901")
    assert "no header" in read("---\n\nno header\n\n---\n").text


@pytest.mark.parametrize(
    "header",
    [
        "---\ntitle: The Lamp\nauthor:\n  - Ada Keeper\n  - name: Bob Light\ntags: [sea]\n---\n",
        '+++\ntitle = "The Lamp"\nauthors = ["Ada Keeper", "Bob Light"]\ntags = ["sea"]\n+++\n',
    ],
    ids=["yaml", "toml"],
)
def test_headers_have_lists(header: str) -> None:
    for ends in ("\n", "\r\n"):
        extracted = read(f"{header}\ntext".replace("\n", ends))
        assert extracted.text.strip() == "text"
        assert extracted.metadata.title == "The Lamp"
        assert extracted.metadata.authors == ("Ada Keeper", "Bob Light")
        assert extracted.metadata.subjects == ("sea",)


def test_a_header_that_is_no_yaml_is_read_line_by_line() -> None:
    extracted = read("---\ntitle: The Lamp: A Tale\nauthor: Ada Keeper\n---\ntext")
    assert (extracted.metadata.title, extracted.text) == ("The Lamp: A Tale", "text")


def test_a_title_block_of_pandoc_is_read() -> None:
    extracted = read("% The Lamp\n% Ada Keeper; Bob Light\n% 1901\n\ntext")
    assert (extracted.metadata.title, extracted.text.strip()) == ("The Lamp", "text")
    assert extracted.metadata.authors == ("Ada Keeper", "Bob Light")
    assert read("text\n% no title").metadata.title == ""


def test_a_markdown_file_becomes_a_book() -> None:
    text = "# CHAPTER I\n\n" + "\n\n".join([PARAGRAPH.replace(", ", ",\n")] * 10)
    text += "\n\n# CHAPTER II\n\n" + "\n\n".join([PARAGRAPH] * 10)
    book = TextCleaner(formats={"markdown": MarkdownFormat()}).clean(text.encode(), "The_Lamp.MD")
    assert book.title == "The Lamp"
    assert book.text.count(PARAGRAPH) == 20  # wrapped lines are joined
    assert [chapter.title for chapter in book.chapters] == ["CHAPTER I", "CHAPTER II"]


@pytest.mark.parametrize(
    "hostile",
    ["*" * 100_000, "[" * 100_000, "_a" * 50_000, "> " * 50_000, "[^" * 50_000, "---\n" * 30_000],
    ids=["stars", "brackets", "underscores", "quotes", "notes", "rules"],
)
def test_no_text_is_slow(hostile: str) -> None:
    read(hostile)
