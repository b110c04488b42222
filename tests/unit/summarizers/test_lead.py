from __future__ import annotations

import pytest

from raypipe.summarizers.lead import LeadSummarizer
from raypipe.summarizers.protocol import Summary
from raypipe.text import CleanText


def make_book(text: str) -> CleanText:
    return CleanText(text, "T", "", "en", "utf-8", len(text.split()), (), "0")


def test_returns_the_first_words_only() -> None:
    book = make_book("one two\n\nthree four five")
    assert LeadSummarizer(words=3).summarize(book) == Summary("one two three", ())
    assert LeadSummarizer(words=9).summarize(book).text == "one two three four five"


def test_the_number_of_words_is_part_of_the_identity() -> None:
    assert LeadSummarizer(3).identity() != LeadSummarizer(4).identity()
    LeadSummarizer().check()
    with pytest.raises(ValueError, match="words"):
        LeadSummarizer(0)
