"""Where a clean text's chapters begin, told by its headings."""

# ruff: noqa: RUF001 - the quotes and stops of other scripts are meant
from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from raypipe.text.numbers import NUMBER, number_of

_ORDER = (
    # From the widest to the narrowest; the words of one line mean the same.
    r"volume|vol\.|band|tome|tomo",
    r"books?|livre|buch|libro|boek",
    r"parts?|partie|teil|parte|deel",
    r"act|acte|akt|aufzug|atto|acto",
    r"scene|scène|szene|auftritt|scena|escena",
    r"canto|chant|gesang|fytte|fit|stave",
    r"chapter|chap\.|chapitre|kapitel|capitolo|cap[íi]tulo|hoofdstuk",
    r"letter|lettre|brief|lettera|carta",
    r"section|§|abschnitt|tale|story|lecture|sermon|essay|night|day|adventure|fable",
)
_TITLE = r"(?:(?:[ ]*[.:)\]—–]|[ ]*--+|[ ]-)+[ ]*|[ ]+)?(?P<title>.*)"
_WORDED = tuple(
    re.compile(
        rf"(?:the )?(?:(?:{words})[ ]+(?:the )?(?P<number>{NUMBER})"
        rf"|(?P<first>{NUMBER})[ ]+(?:{words}))(?![^\W_]|['’]){_TITLE}",
        re.I,
    )
    for words in _ORDER
)
_NUMERAL = re.compile(rf"(?P<number>[IVXLC]+|\d{{1,3}})(?:\.|$|(?=[ \n—-])){_TITLE}")
_NAMED = re.compile(
    r"(?:(?:author|editor|translator|publisher)['’]s )?"
    r"(?:preface|prologue|foreword|introduction|epilogue|afterword|conclusion|postscript|interlude"
    r"|(?:appendix|foot ?notes|notes|glossary|index|finale|vorwort|nachwort|avant-propos"
    r"|introducción|einleitung|schluss|conclusión))(?: [ivx\d]+)?[.:]?",
    re.I,
)
_SPOKEN = re.compile(r"[.!?,;][\"'”’»]$")
_SENTENCE = re.compile(r"[.!?,;][\"'”’]?$")

_LONGEST_HEADING = 160
_LONGEST_TITLE = 100
_MOST_TITLE_WORDS = 14
_LEAST_WORDS = 40
"""Of the median chapter under a worded heading; less is a table of contents or a list."""
_LEAST_WORDS_NUMERALS = 150
"""The same where numerals stand alone: stanzas and sonnets have them too."""
_FRONT_WORDS = 150
"""A shorter title page belongs to the first chapter."""
_IN_ORDER = 0.7
_LIST_CHARS = 60
_NEAR_CHARS = 200
_NARROW = 4
"""Position in `_ORDER` from which on a kind is a chapter, no longer a book of chapters."""


@dataclass(frozen=True, slots=True)
class Chapter:
    """A span of a clean text.

    Attributes:
        title: The heading with the name behind it, e.g. `CHAPTER I. The Storm`; empty for what
            stands before the first heading.
        start: Position of its first character, the heading's.
        end: Position behind its last character.
    """

    title: str
    start: int
    end: int


class _Heading(NamedTuple):
    start: int
    end: int
    level: int  # position in _ORDER; the numerals come after them
    number: int  # 0 for those that have none
    title: str


def find_chapters(text: str, titles: Iterable[str] = ()) -> tuple[Chapter, ...]:
    """Return a book's chapters, which cover the whole text; none if it has none.

    Numbered headings (CHAPTER I, Book the Second, ACT II, XIV) count where their numbers run
    on and the text between them is long enough; so a dictionary's letters, a sonnet's numeral
    or a list of rules makes no chapter. Where no word such as CHAPTER does it, the titles of a
    table of contents count too: works of an anthology.

    Args:
        text: Clean text: paragraphs parted by a blank line.
        titles: What the book's table of contents named.
    """
    candidates = list(_candidates(text))
    found = [heading for at, block in candidates for heading in _headings(at, block)]
    kept = _numbered(found, text)
    if not any(_NARROW <= one.level < len(_ORDER) for one in kept):
        kept = sorted([*kept, *_listed(candidates, titles, text)])
    if len(kept) < 2:
        return ()
    named = [heading for at, block in candidates for heading in _named(at, block)]
    taken = {heading.start for heading in kept}
    starts = sorted([*kept, *(extra for extra in named if extra.start not in taken)])
    return tuple(_spans(_merged(starts, text), text))


def _candidates(text: str) -> Iterator[tuple[int, str]]:
    """Yield place and text of each paragraph that is short enough for a heading."""
    at = 0
    for block in text.split("\n\n"):
        if 0 < len(block) <= _LONGEST_HEADING and block.count("\n") < 3:
            yield at, block
        at += len(block) + 2


def _headings(at: int, block: str) -> Iterator[_Heading]:
    """Yield what a short paragraph may be as a numbered heading."""
    line = block.strip(" \t_*=[]")
    for level, form in enumerate(_WORDED):
        if found := form.fullmatch(line.replace("\n", " ")):
            number = number_of(found["number"] or found["first"])
            if number and _is_title(found["title"], found.start("title"), line):
                yield _Heading(at, at + len(block), level, number, " ".join(line.split()))
            return
    if found := _NUMERAL.fullmatch(line.replace("\n", " ")):
        number = number_of(found["number"])
        if number and _is_title(found["title"], found.start("title"), line):
            yield _Heading(at, at + len(block), len(_ORDER), number, " ".join(line.split()))


def _is_title(title: str, at: int, line: str) -> bool:
    """Tell a heading's name from the rest of a sentence: `Part one of it was lost.`."""
    if not title:
        return True
    parted = line[at - 1] != " " or not line[at - 2].isalnum()
    begins = not title.lstrip("\"'“‘([_")[:1].islower()
    short = len(title) <= _LONGEST_TITLE and len(title.split()) <= _MOST_TITLE_WORDS
    return short and begins and (parted or not _SENTENCE.search(title) or line.isupper())


def _named(at: int, block: str) -> Iterator[_Heading]:
    line = block.strip(" \t_*=[]")
    if line[:1].isupper() and _NAMED.fullmatch(line):
        yield _Heading(at, at + len(block), -1, 0, line)


def _numbered(found: list[_Heading], text: str) -> list[_Heading]:
    """Return the headings of the kinds that hold together, in reading order."""
    kept: dict[int, list[_Heading]] = {}
    for level in range(len(_ORDER) + 1):
        own = _without_list(_without_names([one for one in found if one.level == level]), text)
        numeral = level == len(_ORDER)
        bare = numeral and sum(" " in one.title for one in own) < 0.8 * len(own)
        least = 6 * (_LEAST_WORDS_NUMERALS if bare else _LEAST_WORDS)
        if len(own) >= (3 if numeral else 2) and _holds_together(own, least, text):
            kept[level] = own
    # The widest narrow kind is the chapters: sections or letters inside them are no more.
    narrow = [level for level in kept if level >= _NARROW]
    return sorted(
        one for level in kept if level in narrow[:1] or level < _NARROW for one in kept[level]
    )


def _without_names(own: list[_Heading]) -> list[_Heading]:
    """Drop `I RIDE A HORSE` right behind a bare `IV`: it is that chapter's name."""
    names = {
        two
        for one, two in pairwise(own)
        if two.start == one.end + 2 and " " not in one.title and " " in two.title
    }
    return [one for one in own if one not in names]


def _without_list(own: list[_Heading], text: str) -> list[_Heading]:
    """Drop headings with next to nothing behind them: lines of a list of chapters."""
    return [
        one for one, length in zip(own, _lengths(own, text), strict=True) if length > _LIST_CHARS
    ]


def _holds_together(own: list[_Heading], least: int, text: str) -> bool:
    """Tell chapters by their numbers, which run on, and by the length between them."""
    steps = [two.number - one.number for one, two in pairwise(own)]
    restarts = sum(two.number == 1 for _, two in pairwise(own))
    runs_on = steps.count(1)
    # A second volume may begin with CHAPTER XX; bare numerals that do are something else.
    late = own[0].level == len(_ORDER) and own[0].number > 2
    if late or runs_on + restarts < _IN_ORDER * len(steps) or runs_on < restarts:
        return False
    return median(_lengths(own, text)) >= least


def _lengths(own: list[_Heading], text: str) -> list[int]:
    """Return the characters between each heading and the next."""
    ends = [*(one.start for one in own), len(text)][1:]
    return [end - one.end for one, end in zip(own, ends, strict=False)]


def _listed(candidates: list[tuple[int, str]], titles: Iterable[str], text: str) -> list[_Heading]:
    """Return the headings that a table of contents named: stories, poems, essays."""
    wanted = {key: title for title in titles if (key := _letters(title))}
    found: dict[str, _Heading] = {}
    for at, block in candidates:
        key = _letters(block)
        if key in wanted and key not in found and not _SPOKEN.search(block):
            found[key] = _Heading(at, at + len(block), 0, 0, " ".join(block.split()))
    own = list(found.values())
    if len(own) < 3 or 2 * len(own) < len(wanted):
        return []
    return own if median(_lengths(own, text)) >= 6 * _LEAST_WORDS else []


def _merged(starts: list[_Heading], text: str) -> list[_Heading]:
    """Give each heading the name that stands behind it, and join BOOK I with its CHAPTER I."""
    begins = {one.start for one in starts if one.number}
    merged: list[_Heading] = []
    for one in starts:
        if merged and one.start < merged[-1].end:
            continue  # that was the name of the one before
        if one.number:
            one = _with_name(one, text, begins)
        last = merged[-1] if merged else None
        if last and one.start - last.end < _NEAR_CHARS:
            title = f"{last.title} {one.title}"[: 2 * _LONGEST_TITLE]
            merged[-1] = last._replace(end=one.end, title=title)
        else:
            merged.append(one)
    return merged


def _with_name(one: _Heading, text: str, begins: set[int]) -> _Heading:
    """Add the short paragraph behind a bare `CHAPTER I` to its title."""
    start = one.end + 2
    end = text.find("\n\n", start)
    name = text[start:end]
    if end < 0 or start in begins or len(one.title.split()) > 3 or not 0 < len(name) < 100:
        return one
    sentence = name[0].islower() or (_SENTENCE.search(name) and not name.isupper())
    long = "\n" in name or len(name.split()) > _MOST_TITLE_WORDS
    # `I RIDE A HORSE` is a name; `I` and `SCENE I` are headings of their own.
    own = any(two.level < len(_ORDER) or " " not in name for two in _headings(start, name))
    if sentence or long or own:
        return one
    return one._replace(end=end, title=f"{one.title.rstrip('.')}. {name}")


def _spans(starts: list[_Heading], text: str) -> Iterator[Chapter]:
    first = starts[0].start
    if len(text[:first].split()) < _FRONT_WORDS:
        starts = [starts[0]._replace(start=0), *starts[1:]]
    else:
        yield Chapter("", 0, first)
    ends = [*(one.start for one in starts[1:]), len(text)]
    for one, end in zip(starts, ends, strict=True):
        yield Chapter(one.title, one.start, end)


def _letters(line: str) -> str:
    return "".join(re.findall(r"[^\W_]+", line.casefold()))
