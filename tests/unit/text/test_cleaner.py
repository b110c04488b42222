from __future__ import annotations

import hashlib
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raypipe.core.errors import BookError
from raypipe.text import TextCleaner, split_sentences

STORY = "The keeper lit the lamp and went down the stairs to look at the sea.\n\n" * 30
BOOK = (
    "Title: The Lighthouse\nAuthor: Ada Keeper\nLanguage: English\n\n"
    "*** START OF THIS PROJECT GUTENBERG EBOOK THE LIGHTHOUSE ***\n\n"
    f"{STORY}\n*** END OF THIS PROJECT GUTENBERG EBOOK THE LIGHTHOUSE ***\nlicense\n"
)


def test_cleans_a_book_with_header_and_license() -> None:
    book = TextCleaner().clean(BOOK.replace("\n", "\r\n").encode(), "x.txt")
    assert (book.title, book.author, book.language) == ("The Lighthouse", "Ada Keeper", "en")
    assert (book.encoding, book.words, book.flags) == ("utf-8", 450, ())
    assert book.text == STORY.strip()
    assert book.sha256 == hashlib.sha256(book.text.encode()).hexdigest()


def test_the_hash_is_independent_of_key_encoding_and_license() -> None:
    cleaner = TextCleaner()
    accented = BOOK.replace("stairs", "café stairs")
    variants = [
        accented.encode(),
        accented.encode("cp1252"),
        accented.encode("utf-16"),
        accented.split("***")[2].replace("\n", "\r\n").encode(),
    ]
    hashes = {cleaner.clean(data, f"key-{number}").sha256 for number, data in enumerate(variants)}
    assert len(hashes) == 1


@pytest.mark.parametrize(
    ("data", "kind", "message"),
    [
        (b"", "empty", "0 bytes"),
        (b" \r\n\t" * 9, "empty", "white space"),
        (b"*** START OF THIS PROJECT GUTENBERG EBOOK X ***\n" * 1, "empty", "no words"),
        (b"a few words only", "too_short", "4 words, fewer than min_words=50"),
        (b"word " * 300, "too_large", "1,500 bytes, more than max_bytes=1,000"),
        (b"%PDF-1.4 " * 9, "binary", "PDF"),
    ],
)
def test_failure_messages_name_the_cause_and_the_limit(
    data: bytes, kind: str, message: str
) -> None:
    with pytest.raises(BookError, match=message) as failure:
        TextCleaner(max_bytes=1_000).clean(data, "x.txt")
    assert failure.value.kind == kind
    assert not failure.value.retryable


def test_failure_messages_never_quote_the_book() -> None:
    with pytest.raises(BookError) as failure:
        TextCleaner().clean(b"secret words of the book", "x.txt")
    assert "secret" not in failure.value.message


def test_a_large_removed_share_is_flagged() -> None:
    license = "Long license text that nobody reads to the end.\n" * 60
    assert TextCleaner().clean((BOOK + license).encode(), "x").flags == ("trimmed_much",)


def test_a_book_in_a_script_without_spaces_is_not_too_short() -> None:
    data = ("灯台守は眠った。海は静かだった。" * 10).encode()
    assert TextCleaner().clean(data, "x").language == "ja"


def test_limits_are_not_part_of_the_identity() -> None:
    assert TextCleaner().identity() == TextCleaner(min_words=1, max_bytes=9).identity()
    assert set(TextCleaner().identity()) == {"cleaner", "splitter", "mojibake"}


def test_rejects_limits_out_of_range() -> None:
    with pytest.raises(ValueError, match="min_words"):
        TextCleaner(min_words=-1)
    with pytest.raises(ValueError, match="max_bytes"):
        TextCleaner(max_bytes=0)


@settings(max_examples=60)
@given(st.one_of(st.binary(max_size=600), st.text(max_size=600).map(lambda text: text.encode())))
def test_any_bytes_give_a_book_or_a_book_error(data: bytes) -> None:
    try:
        book = TextCleaner(min_words=1).clean(data, "any/key.txt")
    except BookError:
        return
    assert book.text.encode()
    assert book.title
    assert book.words >= 1


def book_with_chapters(note: str = "", table: str = "") -> bytes:
    body = "".join(f"CHAPTER {numeral}\n\n{STORY}\n\n\n" for numeral in ("I", "II", "III"))
    return f"THE LIGHTHOUSE\n\nby Ada Keeper\n\n\n\n{table}{body}{note}".encode()


def test_chapters_cover_the_text() -> None:
    book = TextCleaner().clean(book_with_chapters(), "x.txt")
    assert [chapter.title for chapter in book.chapters] == [
        "CHAPTER I",
        "CHAPTER II",
        "CHAPTER III",
    ]
    assert "".join(book.text[chapter.start : chapter.end] for chapter in book.chapters) == book.text
    assert TextCleaner().clean(BOOK.encode(), "x.txt").chapters == ()


def test_notes_and_contents_do_not_change_the_text() -> None:
    note = "Transcriber's Note\n\nObvious errors have been corrected.\n"
    table = "CONTENTS\n\nCHAPTER I\nCHAPTER II\nCHAPTER III\n\n\n\n"
    plain = TextCleaner().clean(book_with_chapters(), "x.txt")
    assert "CONTENTS" not in plain.text
    assert TextCleaner().clean(book_with_chapters(note, table), "x.txt") == plain


def test_the_works_of_an_anthology_are_its_chapters() -> None:
    names = ["The Boat", "The Lamp", "The Storm"]
    works = "\n\n\n".join(f"{name.upper()}\n\n{STORY}" for name in names)
    table = "CONTENTS\n\n" + "\n".join(f"{name} ..... {page}" for page, name in enumerate(names))
    book = TextCleaner().clean(f"{table}\n\n\n\n{works}".encode(), "x.txt")
    assert [chapter.title for chapter in book.chapters] == ["THE BOAT", "THE LAMP", "THE STORM"]


def test_mojibake_is_repaired_and_flagged() -> None:
    accented = BOOK.replace("stairs", "café’s stairs")
    good = TextCleaner().clean(accented.encode(), "x.txt")
    broken = TextCleaner().clean(accented.encode().decode("cp1252").encode(), "x.txt")
    assert (broken.sha256, broken.flags) == (good.sha256, ("mojibake_repaired",))


def test_a_removed_table_of_contents_counts_as_trimmed() -> None:
    table = "CONTENTS\n\n" + "".join(f"The rock number {at}     {at}\n" for at in range(1, 41))
    license = "Long license text that nobody reads to the end.\n" * 14
    assert TextCleaner().clean((BOOK + license).encode(), "x").flags == ()
    both = BOOK.replace(STORY, f"{table}\n\n\n\n{STORY}") + license
    assert TextCleaner().clean(both.encode(), "x").flags == ("trimmed_much",)


@pytest.mark.parametrize(
    "text",
    [
        "THE LAMP\n\nA Play\n\nACT I\n\n" + "KEEPER.\nWho is there?\n\nSAILOR.\nA friend.\n\n" * 30,
        "A\n\n" + "ADDLE, n. A bank undermined by water.\n\n" * 30 + "B\n\nBANTLE, v. To push.\n\n",
        "".join(f"{at}\n\nThe lamp is lit,\nThe night is long.\n\n" for at in range(1, 40)),
    ],
)
def test_plays_verse_and_dictionaries_stay_complete(text: str) -> None:
    book = TextCleaner().clean(text.encode(), "x.txt")
    assert book.text == text.strip()
    assert (book.chapters, book.flags) == ((), ())
    assert max(map(len, split_sentences(book.text, book.language))) < 200


_PIECES = """\
CONTENTS|LIST OF ILLUSTRATIONS|CHAPTER I|CHAPTER II|I|II|III|PART ONE|The Boat|THE BOAT|ERRATA
The Boat    12|The Lamp ..... 14|PREFACE|Transcriber's Note|[Transcriber's Note: sic]|A|12||-
Page 9: teh corrected|* * * * *|For lamp read camp.|Produced by Ada|Notes by the transcriber
The keeper lit the lamp and went down the stairs to look at the sea and the boats on it.
"""


@settings(max_examples=200)
@given(
    st.lists(st.sampled_from(re.split(r"[|\n]", _PIECES)), max_size=40),
    st.sampled_from(["\n", "\n\n", "\n\n\n\n\n"]),
)
def test_cleaning_only_removes_words_and_chapters_cover_the_text(
    pieces: list[str], glue: str
) -> None:
    text = glue.join([*pieces, STORY])
    rest = iter(text.split())
    book = TextCleaner(min_words=1).clean(text.encode(), "x.txt")
    assert all(word in rest for word in book.text.split())
    if book.chapters:
        assert (
            "".join(book.text[chapter.start : chapter.end] for chapter in book.chapters)
            == book.text
        )


@pytest.mark.parametrize(
    "slow_text",
    [
        "CONTENTS\n\n" + " " * 200_000 + "x\n\n",
        "CONTENTS\n\nx" + " ." * 100_000 + "x\n\n",
        "ERRATA\n\n" + "for lamp " * 30_000 + "\n\n",
        "Transcriber's Note\n\n" + "for lamp on page " * 20_000 + "\n\n",
        "[Transcriber's Note: " * 2_000 + "\n\n",
        "CHAPTER " + "-" * 150 + "\n\n" * 2_000,
        "-" * 200_000 + "\n\n",
        "\n" * 200_000,
        "â€" * 100_000 + "\n\n",
    ],
)
def test_no_text_is_slow(slow_text: str) -> None:
    start = time.process_time()
    TextCleaner().clean((slow_text + STORY).encode(), "x.txt")
    assert time.process_time() - start < 3
