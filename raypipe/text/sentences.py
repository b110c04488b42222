"""Clean text to sentences, with a cap on what counts as one."""

# ruff: noqa: RUF001 - the quotes and stops of other scripts are meant
from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial

SPLITTER_VERSION = 1
"""Raise it when the same text gives other sentences; it is part of the text recipe."""

_MAX_WORDS = 100
_MAX_CHARS = 1_000
_MAX_PARAGRAPH_CHARS = 100_000
_LONG_LINE = 100
# Written without spaces: each character of these scripts counts as a word.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]"
)
_CLAUSE = re.compile(r"(?<=[;:!?。！？；])\s*|(?<=--)|(?<=—)")


def count_words(text: str) -> int:
    """Return how many words a text has; a character of Chinese, Japanese, Thai … is one."""
    if text.isascii():
        return len(text.split())
    unspaced = _UNSPACED.findall(text)
    return len(_UNSPACED.sub(" ", text).split()) + len(unspaced) if unspaced else len(text.split())


def sentences(text: str, language: str) -> list[str]:
    """Return the sentences of a clean text in reading order.

    nupunkt splits English, sentencex the rest, paragraph by paragraph so that a heading never
    runs into the text. A "sentence" of more than 100 words or 1,000 characters (verse and
    dictionaries without full stops, one-line files) is broken at its lines, then at its
    clauses, then wherever the cap falls.

    Args:
        text: Paragraphs parted by a blank line, as `CleanText.text` has them.
        language: ISO 639-1 code, or `und`.
    """
    if language != "en":
        import sentencex

        return _split_all(text, partial(sentencex.segment, language))
    import nupunkt

    english = nupunkt.load("default")
    try:
        return _split_all(text, english.tokenize)
    finally:
        english.clear_decision_cache()
        _forget_words()


def _forget_words() -> None:
    """Empty nupunkt's memos: 98,000 decisions and words, 30 MB after some 150 books.

    One book's are of little use to the next, and a worker's memory should not depend on how
    many books it has seen. The words' memo has no public way; without it, nothing is lost but
    the 15 MB.
    """
    from nupunkt.core import tokens

    getattr(tokens, "_derived_cache", {}).clear()


def _split_all(text: str, split: Callable[[str], list[str]]) -> list[str]:
    return [sentence for part in _paragraphs(text) for sentence in _split(part, split)]


def _paragraphs(text: str) -> Iterator[str]:
    for block in text.split("\n\n"):
        lines = block.split("\n")
        # Lines that are paragraphs (files without blank lines) are not read as one.
        if len(lines) > 1 and len(block) / len(lines) > _LONG_LINE:
            yield from lines
        else:
            yield block


def _split(paragraph: str, split: Callable[[str], list[str]]) -> Iterator[str]:
    for start in range(0, len(paragraph), _MAX_PARAGRAPH_CHARS):
        piece = paragraph[start : start + _MAX_PARAGRAPH_CHARS]
        found = split(piece.replace("\n", " "))
        if any(_too_long(sentence) for sentence in found) and "\n" in piece:
            found = [sentence for line in piece.split("\n") for sentence in split(line)]
        for sentence in found:
            yield from _capped(sentence.strip())


def _too_long(sentence: str) -> bool:
    return len(sentence) > _MAX_CHARS or (
        len(sentence) > _MAX_WORDS and count_words(sentence) > _MAX_WORDS
    )


def _capped(sentence: str) -> Iterator[str]:
    if not _too_long(sentence):
        if sentence:
            yield sentence
        return
    gathered = ""
    for clause in filter(None, map(str.strip, _CLAUSE.split(sentence))):
        for part in _chopped(clause):
            if gathered and _too_long(f"{gathered} {part}"):
                yield gathered
                gathered = ""
            gathered = f"{gathered} {part}".strip()
    if gathered:
        yield gathered


def _chopped(clause: str) -> Iterator[str]:
    """Yield a clause in pieces under the cap, cut at a space where there is one."""
    while _too_long(clause):
        words = clause.split(" ", _MAX_WORDS // 2)
        cut = len(clause) - len(words[-1]) if len(words) > _MAX_WORDS // 2 else 0
        if not 0 < cut <= _MAX_CHARS:
            cut = clause.rfind(" ", 1, _MAX_CHARS // 10) + 1 or _MAX_CHARS // 10
        yield clause[:cut].strip()
        clause = clause[cut:].strip()
    if clause:
        yield clause
