from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.book import BookError
from raypipe.text import TextCleaner

STORY = "The keeper lit the lamp and went down the stairs to look at the sea.\n\n" * 30
BOOK = (
    "Title: The Lighthouse\nAuthor: Ada Keeper\nLanguage: English\n\n"
    "*** START OF THIS PROJECT GUTENBERG EBOOK THE LIGHTHOUSE ***\n\n"
    f"{STORY}\n*** END OF THIS PROJECT GUTENBERG EBOOK THE LIGHTHOUSE ***\nlicence\n"
)


def test_a_book_with_everything() -> None:
    book = TextCleaner().clean(BOOK.replace("\n", "\r\n").encode(), "x.txt")
    assert (book.title, book.author, book.language) == ("The Lighthouse", "Ada Keeper", "en")
    assert (book.encoding, book.words, book.flags) == ("utf-8", 450, ())
    assert book.text == STORY.strip()
    assert book.sha256 == hashlib.sha256(book.text.encode()).hexdigest()


def test_the_content_hash_knows_no_key_encoding_or_licence() -> None:
    cleaner = TextCleaner()
    accented = BOOK.replace("stairs", "café stairs")
    variants = [
        accented.encode(),
        accented.encode("cp1252"),
        accented.encode("utf-16"),
        accented.split("***")[2].replace("\n", "\r\n").encode(),
    ]
    hashes = {cleaner.clean(data, f"key-{at}").sha256 for at, data in enumerate(variants)}
    assert len(hashes) == 1


@pytest.mark.parametrize(
    ("data", "kind", "words"),
    [
        (b"", "empty", "0 bytes"),
        (b" \r\n\t" * 9, "empty", "white space"),
        (b"*** START OF THIS PROJECT GUTENBERG EBOOK X ***\n" * 1, "empty", "no word"),
        (b"a few words only", "too_short", "4 words, fewer than min_words=50"),
        (b"word " * 300, "too_large", "1,500 bytes, more than max_bytes=1,000"),
        (b"%PDF-1.4 " * 9, "binary", "PDF"),
    ],
)
def test_failures_say_what_and_the_limit(data: bytes, kind: str, words: str) -> None:
    with pytest.raises(BookError, match=words) as failure:
        TextCleaner(max_bytes=1_000).clean(data, "x.txt")
    assert failure.value.kind == kind
    assert not failure.value.retryable


def test_messages_never_quote_the_book() -> None:
    with pytest.raises(BookError) as failure:
        TextCleaner().clean(b"secret words of the book", "x.txt")
    assert "secret" not in failure.value.message


def test_much_trimming_is_flagged() -> None:
    licence = "Long licence text that nobody reads to the end.\n" * 60
    assert TextCleaner().clean((BOOK + licence).encode(), "x").flags == ("trimmed_much",)


def test_a_book_of_characters_without_spaces_is_not_too_short() -> None:
    data = ("灯台守は眠った。海は静かだった。" * 10).encode()
    assert TextCleaner().clean(data, "x").language == "ja"


def test_limits_are_no_part_of_the_recipe() -> None:
    assert TextCleaner().identity() == TextCleaner(min_words=1, max_bytes=9).identity()
    assert set(TextCleaner().identity()) == {"cleaner", "splitter"}


def test_wrong_limits_are_refused() -> None:
    with pytest.raises(ValueError, match="min_words"):
        TextCleaner(min_words=-1)
    with pytest.raises(ValueError, match="max_bytes"):
        TextCleaner(max_bytes=0)


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.binary(max_size=600), st.text(max_size=600).map(lambda text: text.encode())))
def test_any_bytes_give_a_book_or_a_book_error(data: bytes) -> None:
    try:
        book = TextCleaner(min_words=1).clean(data, "any/key.txt")
    except BookError:
        return
    assert book.text.encode()
    assert book.title
    assert book.words >= 1
