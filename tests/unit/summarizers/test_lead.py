from __future__ import annotations

import pytest

from raypipe.summarizers.lead import LeadSummarizer
from raypipe.summarizers.protocol import Summary
from raypipe.text import CleanText


def make_book(text: str) -> CleanText:
    return CleanText(text, "T", "", "en", "utf-8", len(text.split()), (), "0")


def test_the_first_words_and_nothing_else() -> None:
    book = make_book("one two\n\nthree four five")
    assert LeadSummarizer(words=3).summarize(book) == Summary("one two three", ())
    assert LeadSummarizer(words=9).summarize(book).text == "one two three four five"


def test_its_length_is_its_identity() -> None:
    assert LeadSummarizer(3).identity() != LeadSummarizer(4).identity()
    LeadSummarizer().check()
    with pytest.raises(ValueError, match="words"):
        LeadSummarizer(0)
