"""Split clean text into sentences of limited length, and count words."""

# ruff: noqa: RUF001 - punctuation of other scripts is intended
from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial

from raypipe.text.isolation import DEADLINE_S, LONG_TEXT, run_in_child

SPLITTER_VERSION = 1
"""Part of the text recipe. Raise it when the same text gives different sentences."""

_MAX_WORDS = 100
_MAX_CHARS = 1_000
_MAX_PARAGRAPH_CHARS = 100_000
_MIN_PARAGRAPH_LINE_CHARS = 100
# Scripts without spaces: each of their characters counts as a word.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]"
)
_MAY_END = re.compile("[.!?\u2026]")
_ENTRY_OF_CONTENTS = re.compile(r"[^.!?\u2026]*+(?: ?\.){3,}+ ?\d+")
_MAX_RUN_CHARS = 400
_LONG_PARAGRAPH = 5_000
_STOPS_SHARE = 0.2
_LONG_RUN = re.compile(rf"(?<!\S)(\S{{{_MAX_RUN_CHARS},}}+)")
_MAX_MARKS = 1_000
_MARK = re.compile("[“”„‘’«»‹›`'。！？!?…」』]")
_ENDS = "。！？!?"
_CLAUSE = re.compile(r"(?<=[;:!?。！？；])\s*|(?<=--)|(?<=—)")

_Split = Callable[[str], list[str]]


def count_words(text: str) -> int:
    """Count the words of a text; each character of Chinese, Japanese, Thai … is a word."""
    if text.isascii():
        return len(text.split())
    unspaced = _UNSPACED.findall(text)
    return len(_UNSPACED.sub(" ", text).split()) + len(unspaced) if unspaced else len(text.split())


def split_sentences(text: str, language: str, deadline_s: float = DEADLINE_S) -> list[str]:
    """Return the sentences of a clean text in reading order.

    nupunkt splits English, sentencex every other language, paragraph by paragraph, so that a
    heading never runs into the text. A "sentence" of more than 100 words or 1,000 characters
    (verse and dictionaries without full stops, one-line files) is split at its lines, then at
    its clauses, then at the limit.

    Args:
        text: Paragraphs separated by a blank line, as in `CleanText.text`.
        language: ISO 639-1 code, or `und`.
        deadline_s: Seconds after which a long text fails.

    Raises:
        BookError: `too_slow`, or `killed_worker` if the child process died that splits long texts.
    """
    if len(text) <= LONG_TEXT:
        return split_here(text, language)
    sentences: list[str]
    sentences, _ = run_in_child("split", text.encode(), {"language": language}, deadline_s)
    return sentences


def split_here(text: str, language: str) -> list[str]:
    """Return the sentences as `split_sentences` does, without a child process and a deadline."""
    if language != "en":
        import sentencex

        segment = partial(sentencex.segment, language)
        return _split_paragraphs(text, partial(_split_between_marks, segment))
    import nupunkt

    english = nupunkt.load("default")
    try:
        return _split_paragraphs(text, partial(_split_around_runs, english.tokenize))
    finally:
        english.clear_decision_cache()
        _clear_word_cache()


def _clear_word_cache() -> None:
    """Clear nupunkt's word cache.

    Its two caches grow to 98,000 decisions and words, 30 MB after some 150 books. Entries of one
    book are of little use to the next, and a worker's memory should not depend on the number of
    books it has seen. The word cache has no public way to clear it; if its name changes, only
    its 15 MB are not freed.
    """
    from nupunkt.core import tokens

    getattr(tokens, "_derived_cache", {}).clear()


def _split_around_runs(split: _Split, text: str) -> list[str]:
    """Split a text with nupunkt, but not its characters in a row without a space.

    nupunkt takes a time that grows with the square of the stops in such a row.
    """
    if not _MAY_END.search(text):
        return [text]
    if _ENTRY_OF_CONTENTS.fullmatch(text):
        return [text]  # as nupunkt does, which takes ten times as long
    if len(text) > _LONG_PARAGRAPH and _STOPS_SHARE * len(text) < sum(map(text.count, ".!?\u2026")):
        return [text]  # a list of numbers or initials: nupunkt needs 5 µs for each stop
    if len(text) < _MAX_RUN_CHARS or not _LONG_RUN.search(text):
        return split(text)
    parts = _LONG_RUN.split(text)  # the runs are at the odd places
    return [
        sentence
        for place, part in enumerate(parts)
        for sentence in ([part] if place % 2 else split(part))
    ]


def _split_between_marks(split: _Split, text: str) -> list[str]:
    """Split a text with sentencex, in pieces if it has too many quotation marks and stops.

    sentencex takes a time that grows with the square of their number.
    """
    if len(text) <= _MAX_MARKS or len(_MARK.findall(text)) <= _MAX_MARKS:
        return split(text)
    sentences: list[str] = []
    start = marks = end = 0
    for match in _MARK.finditer(text):
        marks += 1
        if match[0] in _ENDS:
            end = match.end()
        if marks >= _MAX_MARKS:
            cut = end if end > start else match.end()
            sentences += split(text[start:cut])
            start, marks = cut, 0
    return sentences + split(text[start:])


def _split_paragraphs(text: str, split: _Split) -> list[str]:
    sentences: list[str] = []
    for paragraph in _paragraphs(text):
        if len(paragraph) <= _MAX_WORDS:  # no sentence can be too long
            stripped = map(str.strip, split(paragraph.replace("\n", " ")))
            sentences += [sentence for sentence in stripped if sentence]
        else:
            sentences += _split_paragraph(paragraph, split)
    return sentences


def _paragraphs(text: str) -> Iterator[str]:
    for block in text.split("\n\n"):
        # In files without blank lines each long line is a paragraph.
        lines = block.count("\n") + 1
        if lines > 1 and len(block) / lines > _MIN_PARAGRAPH_LINE_CHARS:
            yield from block.split("\n")
        else:
            yield block


def _split_paragraph(paragraph: str, split: _Split) -> Iterator[str]:
    for start in range(0, len(paragraph), _MAX_PARAGRAPH_CHARS):
        piece = paragraph[start : start + _MAX_PARAGRAPH_CHARS]
        sentences = split(piece.replace("\n", " "))
        if any(_is_too_long(sentence) for sentence in sentences) and "\n" in piece:
            sentences = [sentence for line in piece.split("\n") for sentence in split(line)]
        for sentence in sentences:
            yield from _limit_length(sentence.strip())


def _is_too_long(sentence: str) -> bool:
    return len(sentence) > _MAX_CHARS or (
        len(sentence) > _MAX_WORDS and count_words(sentence) > _MAX_WORDS
    )


def _limit_length(sentence: str) -> Iterator[str]:
    """Yield a sentence, in several pieces of whole clauses if it is too long."""
    if not _is_too_long(sentence):
        if sentence:
            yield sentence
        return
    gathered: list[str] = []
    chars = words = 0
    for clause in filter(None, map(str.strip, _CLAUSE.split(sentence))):
        for piece in _chop(clause):
            piece_words = count_words(piece)
            chars, words = chars + 1 + len(piece), words + piece_words
            if gathered and (chars > _MAX_CHARS or (chars > _MAX_WORDS and words > _MAX_WORDS)):
                yield " ".join(gathered)
                gathered = []
            if not gathered:
                chars, words = len(piece), piece_words
            gathered.append(piece)
    if gathered:
        yield " ".join(gathered)


def _chop(clause: str) -> Iterator[str]:
    """Yield a clause in pieces within the limit, cut at a space if possible."""
    while _is_too_long(clause):
        head = clause[: _MAX_CHARS + 1]
        words = head.split(" ", _MAX_WORDS // 2)
        cut = len(head) - len(words[-1]) if len(words) > _MAX_WORDS // 2 else 0
        if not 0 < cut <= _MAX_CHARS:
            cut = clause.rfind(" ", 1, _MAX_CHARS // 10) + 1 or _MAX_CHARS // 10
        yield clause[:cut].strip()
        clause = clause[cut:].strip()
    if clause:
        yield clause
