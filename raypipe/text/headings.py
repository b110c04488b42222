"""Recognize headings of chapters, books, acts, letters … in short paragraphs."""

# ruff: noqa: RUF001 - typographic quotes and dashes are intended
from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

from raypipe.text.heading_numbers import NUMBER, parse_number

_LEVEL_WORDS = (
    # From the widest division to the narrowest; the words of one line mean the same.
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
CHAPTER_LEVEL = 4
"""From this level on a division is a chapter, no longer a book of chapters."""
NUMERAL_LEVEL = len(_LEVEL_WORDS)
"""Level of headings that are only a numeral, e.g. `XIV`: after all levels with a word."""
NAMED_LEVEL = -1
"""Level of headings such as `PREFACE`, which have no number."""

_TITLE = r"(?:(?:[ ]*[.:)\]—–]|[ ]*--+|[ ]-)+[ ]*|[ ]+)?(?P<title>.*)"


def _level_groups(name: str) -> str:
    return "|".join(f"(?P<{name}{level}>{words})" for level, words in enumerate(_LEVEL_WORDS))


# One expression with a group for each level: an expression for each level takes much longer.
_WORDED = re.compile(
    rf"(?:the )?(?:(?:{_level_groups('before')})[ ]+(?:the )?(?P<number>{NUMBER})"
    rf"|(?P<first>{NUMBER})[ ]+(?:{_level_groups('after')}))(?![^\W_]|['’]){_TITLE}",
    re.I,
)
_NUMBERED_START = re.compile(
    r"[ \t_*=\[\]]*+(?:the[ \n])?"
    rf"(?:(?:{'|'.join(_LEVEL_WORDS)})[ \n]|{NUMBER}(?![^\W_]))",
    re.I,
)
_NUMERAL = re.compile(rf"(?P<number>[IVXLC]+|\d{{1,3}})(?:\.|$|(?=[ \n—-])){_TITLE}")
_NAMED = re.compile(
    r"(?:(?:author|editor|translator|publisher)['’]s )?"
    r"(?:preface|prologue|foreword|introduction|epilogue|afterword|conclusion|postscript|interlude"
    r"|(?:appendix|foot ?notes|notes|glossary|index|finale|vorwort|nachwort|avant-propos"
    r"|introducción|einleitung|schluss|conclusión))(?: [ivx\d]+)?[.:]?",
    re.I,
)
_SENTENCE_END = re.compile(r"[.!?,;][\"'”’]?$")
_SPEECH_END = re.compile(r"[.!?,;][\"'”’»]$")

_MAX_HEADING_CHARS = 160
MAX_TITLE_CHARS = 100
_MAX_TITLE_WORDS = 14


class Heading(NamedTuple):
    """A possible heading in a clean text.

    Attributes:
        start: Position of its first character.
        end: Position after its last character.
        level: Index in the list of division words, `NUMERAL_LEVEL` or `NAMED_LEVEL`.
        number: Its number; 0 if it has none.
        title: Its text in one line.
    """

    start: int
    end: int
    level: int
    number: int
    title: str


def short_paragraphs(text: str, is_wanted: Callable[[str], bool]) -> Iterator[tuple[int, str]]:
    """Yield position and text of each wanted paragraph that is short enough for a heading.

    Args:
        text: The clean text.
        is_wanted: Tells whether a paragraph is wanted; asked once for equal paragraphs.
    """
    blocks = text.split("\n\n")
    wanted = {
        block
        for block in set(blocks)
        if 0 < len(block) <= _MAX_HEADING_CHARS and block.count("\n") < 3 and is_wanted(block)
    }
    position = 0
    for block in blocks:
        if block in wanted:
            yield position, block
        position += len(block) + 2


def may_be_numbered(block: str) -> bool:
    """Return whether a paragraph begins like a numbered heading."""
    return _NUMBERED_START.match(block) is not None


def read_numbered_heading(position: int, block: str) -> Heading | None:
    """Return a short paragraph as a numbered heading, None if it is none.

    Args:
        position: Position of the paragraph in the text.
        block: The paragraph.
    """
    parsed = _parse_numbered(block)
    return Heading(position, position + len(block), *parsed) if parsed else None


@lru_cache(maxsize=1024)
def _parse_numbered(block: str) -> tuple[int, int, str] | None:
    """Return level, number and title of a numbered heading, None if it is none."""
    line = block.strip(" \t_*=[]")
    one_line = line.replace("\n", " ")
    match = _WORDED.fullmatch(one_line) or _NUMERAL.fullmatch(one_line)
    if match is None:
        return None
    groups = match.groupdict()
    levels = range(NUMERAL_LEVEL)
    named = (i for i in levels if groups.get(f"before{i}") or groups.get(f"after{i}"))
    level = next(named, NUMERAL_LEVEL)
    number = parse_number(groups["number"] or groups["first"])
    is_heading = number and _is_heading_title(match["title"], match.start("title"), line)
    return (level, number, " ".join(line.split())) if is_heading else None


def is_named_heading(block: str) -> bool:
    """Return whether a short paragraph is a heading without a number, such as `PREFACE`."""
    line = block.strip(" \t_*=[]")
    return line[:1].isupper() and _NAMED.fullmatch(line) is not None


def read_named_heading(position: int, block: str) -> Heading:
    """Return a short paragraph for which `is_named_heading` is true as a heading."""
    return Heading(position, position + len(block), NAMED_LEVEL, 0, block.strip(" \t_*=[]"))


def _is_heading_title(title: str, start: int, line: str) -> bool:
    """Tell the title in a heading from the rest of a sentence, e.g. `Part one of it was lost.`.

    Args:
        title: The text after the number; may be empty.
        start: Its position in the line.
        line: The paragraph in one line.
    """
    if not title:
        return True
    is_separated = line[start - 1] != " " or not line[start - 2].isalnum()
    begins_like_title = not title.lstrip("\"'“‘([_")[:1].islower()
    is_short = len(title) <= MAX_TITLE_CHARS and len(title.split()) <= _MAX_TITLE_WORDS
    is_no_sentence = is_separated or not _SENTENCE_END.search(title) or line.isupper()
    return is_short and begins_like_title and is_no_sentence


def is_speech(block: str) -> bool:
    """Return whether a paragraph ends with punctuation and a closing quotation mark."""
    return _SPEECH_END.search(block) is not None


def read_title_below(heading: Heading, text: str, numbered_starts: set[int]) -> Heading:
    """Add the short paragraph below a bare `CHAPTER I` to its title.

    Args:
        heading: A numbered heading.
        text: The clean text.
        numbered_starts: Start positions of all numbered headings.
    """
    start = heading.end + 2
    end = text.find("\n\n", start)
    name = text[start:end]
    is_bare = len(heading.title.split()) <= 3
    if end < 0 or start in numbered_starts or not is_bare or not 0 < len(name) < 100:
        return heading
    is_sentence = name[0].islower() or (_SENTENCE_END.search(name) and not name.isupper())
    is_long = "\n" in name or len(name.split()) > _MAX_TITLE_WORDS
    # `I RIDE A HORSE` is a title; `I` and `SCENE I` are separate headings.
    below = read_numbered_heading(start, name)
    is_heading = below is not None and (below.level < NUMERAL_LEVEL or " " not in name)
    if is_sentence or is_long or is_heading:
        return heading
    return heading._replace(end=end, title=f"{heading.title.rstrip('.')}. {name}")
