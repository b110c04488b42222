"""Lines of printed pages become paragraphs, in one or two columns, without running heads."""

from __future__ import annotations

import random
import textwrap
from collections.abc import Sequence

import pytest

from raypipe.text.formats.pdf_layout import Line, join_pages

WORDS = (
    *("the", "keeper", "lit", "lamp", "and", "looked", "at", "sea", "because", "nobody", "had"),
    *("come", "for", "a", "week", "while", "rain", "beat", "on", "slates", "above", "them", "old"),
    *("miller", "counted", "geese", "before", "supper", "schoolmaster", "mended", "broken"),
)


def make_paragraphs(number: int, rng: random.Random) -> list[str]:
    def sentence() -> str:
        words = [rng.choice(WORDS) for _ in range(rng.randrange(6, 25))]
        return " ".join(words).capitalize() + "."

    return [" ".join(sentence() for _ in range(rng.randrange(1, 9))) for _ in range(number)]


def typeset(
    paragraphs: Sequence[str],
    *,
    columns: int = 1,
    indent: float = 14.0,
    gap: float = 0.0,
    heads: bool = True,
    hyphens: bool = False,
) -> list[list[Line]]:
    """Return the lines of pages: characters are 5 points wide, lines 12 points apart."""
    width = 66 if columns == 1 else 36
    pages: list[list[Line]] = []
    x, y = 0.0, 0.0
    column = columns

    def next_place() -> None:
        nonlocal x, y, column
        column += 1
        if column >= columns:
            column = 0
            number = len(pages) + 1
            pages.append([])
            if heads:
                head = f"{number} THE LAMP" if number % 2 else f"CHAPTER I {number}"
                pages[-1].append(Line(head, 200, 750, 200 + 5 * len(head), 759))
                pages[-1].append(Line(str(number), 290, 40, 300, 49))
        x, y = 72.0 + column * (5 * width + 30), 700.0

    next_place()
    for paragraph in paragraphs:
        first = " " * round(indent / 5)
        lines = textwrap.wrap(paragraph, width, initial_indent=first, break_on_hyphens=False)
        for index, line in enumerate(lines):
            if y < 80:
                next_place()
            text = line.strip()
            if hyphens and index + 1 < len(lines) and len(text) < width - 4:
                head, _, tail = lines[index + 1].partition(" ")
                if len(head) > 5:
                    text, lines[index + 1] = f"{text} {head[:3]}-", f"{head[3:]} {tail}"
            left = x + (indent if not index else 0)
            pages[-1].append(Line(text, left, y, left + 5 * len(text), y + 9))
            y -= 12
        y -= gap
    return pages


@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize(("indent", "gap"), [(14.0, 0.0), (0.0, 8.0), (0.0, 0.0)])
@pytest.mark.parametrize("hyphens", [False, True])
def test_paragraphs_are_found_again(columns: int, indent: float, gap: float, hyphens: bool) -> None:
    paragraphs = make_paragraphs(120, random.Random(3))
    pages = typeset(paragraphs, columns=columns, indent=indent, gap=gap, hyphens=hyphens)
    found = join_pages(pages).split("\n\n")
    assert " ".join(found) == " ".join(paragraphs)
    share = len(set(found) & set(paragraphs)) / len(set(paragraphs))
    assert share > (0.95 if indent else 0.85 if gap else 0.5), share
