from __future__ import annotations

from collections.abc import Callable

import pytest

from raypipe.text.page_furniture import remove_page_furniture

PAGES = 12
ROMAN = ["i", "ii", "iii", "iv", "v", "vi"]
LINES = [f"line {number} of the tale, which goes on and never" for number in range(PAGES * 24)]
TALE = "\n".join(LINES)


def alternate(page: int) -> str:
    return f"{page}  MEMOIRS OF A PARISH" if page % 2 == 0 else f"THE WINTER FLOOD  {page}"


def bind(head: Callable[[int], str], foot: Callable[[int], str], between: str) -> str:
    """Return the tale in pages of 24 lines."""
    pages = []
    for page in range(1, PAGES + 1):
        body = "\n".join(LINES[24 * (page - 1) : 24 * page])
        pages.append("\n\n".join(filter(None, (head(page), body, foot(page)))))
    return between.join(pages)


def nothing(page: int) -> str:
    return ""


@pytest.mark.parametrize("between", ["\n\f", "\f", "\n\n", "\n\n\n"])
@pytest.mark.parametrize(
    ("head", "foot"),
    [
        (alternate, nothing),
        (alternate, lambda page: "Digitized by Google"),
        (nothing, str),
        (nothing, "- {} -".format),
        (nothing, "Page {} of 12".format),
        (nothing, lambda page: ROMAN[page - 1] if page < 7 else str(page)),
        (lambda page: f"CHAPTER THE FIRST  {page}", nothing),
        ("[{}]".format, lambda page: "Digitized by VjOOQIC"),
        (lambda page: "THE WINTER FLOOD", str),
        (lambda page: f"A Fenland Parish      {page}", lambda page: "http://hdl.handle.net/2027/x"),
    ],
)
def test_what_each_page_has_is_removed_and_sentences_go_on(
    head: Callable[[int], str], foot: Callable[[int], str], between: str
) -> None:
    assert remove_page_furniture(bind(head, foot, between)) == TALE


def test_noise_of_recognition_in_heads_does_not_matter() -> None:
    heads = ["THE WINTER FLOOD {}", "THE WINTER FLOOD {}", "THE W1NTER FL00D l", "TBE WINTEB FLOOD"]
    text = bind(lambda page: heads[page % 4].format(page), nothing, "\n\f")
    assert remove_page_furniture(text) == TALE


def test_a_hyphen_at_the_end_of_a_page_stays_for_unwrapping() -> None:
    text = bind(alternate, nothing, "\n\f").replace(
        "24 of the tale, which", "24 of the tale, which"
    )
    broken = text.replace("never\n\f2", "never-\n\f2", 1)
    assert "never-\nline 24" in remove_page_furniture(broken)


def test_paragraphs_that_end_with_their_page_stay_apart() -> None:
    text = (
        bind(alternate, nothing, "\n\f").replace("never\n\f", "ends.\n\f").replace("line", "Line")
    )
    assert remove_page_furniture(text).count("ends.\n\nLine") == PAGES - 1


def test_the_title_page_stays() -> None:
    text = "THE WINTER FLOOD\n\nby Ann Tarrow\n\n\f" + bind(alternate, nothing, "\n\f")
    assert remove_page_furniture(text).startswith("THE WINTER FLOOD\n\nby Ann Tarrow\n\nline 0")


def test_a_form_feed_alone_is_a_break_between_paragraphs_or_inside_a_sentence() -> None:
    assert remove_page_furniture("The end.\n\fThe next day") == "The end.\n\nThe next day"
    before = "and so it was on the morning of the"
    assert remove_page_furniture(f"{before}\n\fnext day") == f"{before}\nnext day"
    assert remove_page_furniture(f"{before} \f\n\nnext day") == f"{before} \nnext day"


@pytest.mark.parametrize(
    "heading",
    ["CHAPTER {}", "{}", "LETTER {}", "The Second Sonnet {}", "{}. A Day at Sea", "Psalm {}"],
)
def test_numbered_headings_are_no_running_heads(heading: str) -> None:
    verse = "\n".join(["The lamp was lit, and so was every other."] * 14)
    text = "\n\n".join(f"{heading.format(number)}\n\n{verse}" for number in range(1, 40))
    assert remove_page_furniture(text) == text


def test_chapters_of_different_lengths_keep_their_numbers() -> None:
    line = "The lamp was lit, and so was every other.\n"
    text = "\n".join(f"{number}\n\n{line * (5 + number * 37 % 90)}" for number in range(1, 40))
    assert remove_page_furniture(text) == text


def test_captions_and_verses_that_repeat_stay() -> None:
    text = "\n\n".join(
        f"the road went on\n\nFig. {number}\n\nand on and on\n\nO come away!"
        for number in range(40)
    )
    assert remove_page_furniture(text) == text


def test_form_feeds_between_chapters_and_poems_are_no_pages() -> None:
    line = "The lamp was lit, and so was every other.\n"
    chapters = "\f".join(f"{number}\n\n{line * 90}" for number in range(1, 9))
    assert "8\n\nThe lamp" in remove_page_furniture(chapters)
    titles = ["SONG", "ELEGY", "TO HER", "MORNING", "SONG", "NIGHT", "THE SEA", "SONG", "RAIN"]
    poems = "\f".join(f"{title}\n\n{line * 20}" for title in titles)
    assert remove_page_furniture(poems).count("SONG") == 3


def test_most_of_a_text_is_never_furniture() -> None:
    text = "a\n\f" * 40
    assert remove_page_furniture(text).count("a") == 40
