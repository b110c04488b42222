"""Choose the code page of a text by how well the decoded letters fit the language found."""

# ruff: noqa: RUF001 - typographic quotes and letters of other alphabets are intended
from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache

from raypipe.text.alphabets import (
    WESTERN,
    common_letters_of,
    has_latin_letters,
    is_known,
    letters_of,
)
from raypipe.text.language import UNKNOWN, choose_language, detect_language, vote

_LATIN = (  # from the most to the least frequent: the first of equals is chosen
    "cp1252", "iso8859-2", "cp1250", "cp1254", "cp1257", "iso8859-15", "iso8859-13", "iso8859-4",
    "iso8859-3", "iso8859-16", "iso8859-14", "iso8859-10", "cp1258", "cp850", "cp437", "cp852",
    "mac_roman", "mac_latin2", "cp857", "mac_turkish", "cp775", "cp865", "cp861", "mac_iceland",
    "mac_romanian", "mac_croatian",
)  # fmt: skip
_OTHER = (
    "cp1251", "koi8-r", "koi8-u", "iso8859-5", "cp866", "mac_cyrillic", "cp855", "kz1048",
    "koi8_t", "cp1125", "cp1253", "iso8859-7", "cp737", "mac_greek", "cp869", "cp1255",
    "iso8859-8", "cp862", "cp1256", "iso8859-6", "cp720", "mac_arabic", "cp874", "iso8859-11",
    "gb18030",
)  # fmt: skip
CODE_PAGES = frozenset({*_LATIN, *_OTHER})
"""Python's names of the encodings of one byte a character that are tried."""

SAMPLE_BYTES = 6_000
_MAX_PIECE = 800
_MAX_LATIN_SHARE, _MIN_OTHER_SHARE = 0.5, 0.35
"""Shares of high bytes among the letters: above the first, no language with Latin letters; below
the second, no language with other letters."""
_PLAIN_FIT = 0.95
"""English that fits Windows-1252 as well as this is not tried in other code pages."""
_EXPECTED_COMMON = 0.45
_MAX_ENGLISH_SHARE = 0.2
_OTHER_LANGUAGE_COST, _UNKNOWN_COST, _NOT_FOUND_COST = 0.02, 0.1, 0.2
_DECLARED_BONUS = 0.03
_LOAN, _LONELY = 0.5, 0.3

_HIGH = re.compile(r"[^\x00-\x7f]")
_HIGH_BYTES = bytes(range(0x80, 0x100))
_ASCII_LETTERS = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ANYWHERE = frozenset("’–—-·\xad‑'ʼ")
_PUNCTUATION = frozenset("‘“”„‚«»‹›…¿¡،؛؟‐―″′·")
_SYMBOLS = frozenset("§©°£€½¼¾†‡•®™²³×¶¢ªº¹№")
_ALONE = frozenset("àáâãåæèéêëíîïòóôöøúûüýÀÁÂÅÆÈÉÊÍÒÓÔÖØÚÜ")
_FINAL = frozenset("םןץףךς")
_LAST_LATIN = "\u024f"
_BROKEN = frozenset({"Cc", "Co", "Cn", "Cs"})


@dataclass(frozen=True, slots=True)
class Guess:
    """An encoding, and how well the text decoded with it fits.

    Attributes:
        encoding: Python's name of the encoding.
        language: The language that fits best.
        fit: 1 if each character above ASCII is a letter of the language or a sign at a place
            where it is usual; below 0 for noise.
    """

    encoding: str
    language: str
    fit: float


@dataclass(slots=True)
class _Evidence:
    """What the characters above ASCII of a decoded text tell.

    Attributes:
        total: Number of characters above ASCII.
        signs: Sum of the scores of all that is no letter or is a letter at a wrong place.
        letters: Letters at a possible place.
        alone: Letters of Latin alphabets that are a word.
        ascii_letters: Number of ASCII letters.
        mixed: Letters of other alphabets beside a letter of ASCII.
    """

    total: int = 0
    signs: float = 0.0
    letters: Counter[str] = field(default_factory=Counter)
    alone: Counter[str] = field(default_factory=Counter)
    ascii_letters: int = 0
    mixed: Counter[str] = field(default_factory=Counter)


def guess_code_page(data: bytes, declared: str = "", language: str = "") -> Guess | None:
    """Return the code page of one byte a character that fits best; None if there is no high byte.

    Each code page decodes a sample of the lines with high bytes. The languages that are found in
    these texts are tried with each of them.

    Args:
        data: The whole file.
        declared: An encoding that the file names; it is chosen among near equals.
        language: A language that is known already; only the code page is looked for then.
    """
    sample = take_sample(data)
    if not sample:
        return None
    high, low = (_count(sample, values) for values in (_HIGH_BYTES, _ASCII_LETTERS))
    share = high / max(high + low, 1)
    encodings = (*_LATIN * (share < _MAX_LATIN_SHARE), *_OTHER * (share > _MIN_OTHER_SHARE))
    if declared in CODE_PAGES and declared not in encodings:
        encodings = (*encodings, declared)
    texts = {name: _decode(sample, name) for name in encodings}
    first = next(iter(texts))
    if first == "cp1252" and not language and not declared:
        plain = rate_text(texts[first], "en")
        if plain >= _PLAIN_FIT and detect_language(_decode(data, first)) == "en":
            return Guess(first, "en", plain)  # most books that are not UTF-8
    votes = {name: {language: 1.0} if language else vote(text) for name, text in texts.items()}
    own = {name: choose_language(votes[name]) or UNKNOWN for name in texts}
    languages = _languages_to_try(name for names in votes.values() for name in names)
    guesses = [
        _rate_all(name, text, own[name], languages, _DECLARED_BONUS * (name == declared))
        for name, text in texts.items()
    ]
    best = max(guesses, key=lambda guess: round(guess.fit, 3))  # the first of equals
    return Guess(best.encoding, best.language, min(best.fit, 1.0))


def rate_text(text: str, language: str) -> float:
    """Return how well the characters above ASCII of a text fit a language; see `Guess.fit`."""
    return _fit(_read_evidence(text), language)


def rate_in_any_language(text: str) -> float:
    """Return how well a text fits the language that fits best among those it may be in."""
    evidence = _read_evidence(text)
    return max(_fit(evidence, language) for language in _languages_to_try(vote(text)))


def take_sample(data: bytes, limit: int = SAMPLE_BYTES, max_piece: int = _MAX_PIECE) -> bytes:
    """Return lines with high bytes from the whole file, up to a limit; empty if all is ASCII.

    Args:
        data: The whole file.
        limit: Bytes of the sample.
        max_piece: Bytes of a piece of a long line. A piece may begin inside a character of
            several bytes.
    """
    if data.isascii():
        return b""
    lines = [piece for line in re.split(rb"[\r\n]+", data) for piece in _cut(line, max_piece)]
    step = max(1, -(-sum(map(len, lines)) // limit))
    chosen: list[bytes] = []
    size = 0
    for line in lines[::step]:
        chosen.append(line[:limit])
        size += len(chosen[-1]) + 1
        if size > limit:
            break
    return b"\n".join(chosen)


def _languages_to_try(voted: Iterable[str]) -> list[str]:
    """Return all languages with votes and an alphabet: close languages share the votes."""
    found = {language for language in voted if is_known(language)}
    if "sr" in found:
        found.add("hr")  # Serbian is also written with the letters of Croatian
    return sorted(found | {UNKNOWN})


def _cut(line: bytes, max_piece: int) -> Iterable[bytes]:
    """Return a line with high bytes; pieces of it if it is long."""
    if line.isascii():
        return ()
    if len(line) <= max_piece:
        return (line,)
    pieces = (line[at : at + max_piece] for at in range(0, len(line), max_piece))
    return (piece for piece in pieces if not piece.isascii())


def _count(data: bytes, values: bytes) -> int:
    return len(data) - len(data.translate(None, values))


def _decode(sample: bytes, encoding: str) -> str:
    text = sample.decode(encoding, "replace")
    return unicodedata.normalize("NFC", text) if encoding == "cp1258" else text


def _rate_all(encoding: str, text: str, own: str, languages: Iterable[str], bonus: float) -> Guess:
    evidence = _read_evidence(text)
    costs = {own: 0.0, UNKNOWN: _UNKNOWN_COST if own == UNKNOWN else _NOT_FOUND_COST}
    counts = (evidence.letters, evidence.mixed, evidence.alone)
    letters = sum(count.total() for count in counts) / max(evidence.total, 1)
    fits = [
        (_fit(evidence, language) - letters * costs.get(language, _OTHER_LANGUAGE_COST), language)
        for language in languages
    ]
    fit, language = max(fits)
    return Guess(encoding, language, fit + bonus)


def _read_evidence(text: str) -> _Evidence:
    evidence = _Evidence(ascii_letters=sum(map(text.count, _ASCII_LETTERS.decode())))
    padded = f" {text} "
    for match in _HIGH.finditer(padded, 1):
        at = match.start()
        _weigh(evidence, padded[at - 1], match[0], padded[at + 1])
    return evidence


def _weigh(evidence: _Evidence, before: str, char: str, after: str) -> None:
    """Add a character and its neighbors to the evidence."""
    evidence.total += 1
    kind = _category(char)
    between = before.isalpha() and after.isalpha()
    if char == "\ufffd" or kind in _BROKEN:
        evidence.signs -= 2.0
    elif char in _ANYWHERE:
        evidence.signs += 1.0
    elif char in _SYMBOLS:
        beside = before.isalpha() or after.isalpha()
        evidence.signs += -1.0 if between else 0.3 if beside else 0.95
    elif kind[0] in "LM":
        if (kind == "Lu" and before.islower()) or before == char == after:
            evidence.signs -= 1.0
        elif kind == "Ll" and after.isupper():
            evidence.signs -= 0.5
        elif char in _FINAL and after.isalpha():
            evidence.signs -= 5.0  # Hebrew from left to right
        elif before.isdigit() or after.isdigit():
            evidence.signs += 0.2
        elif kind == "Lu" and before.isupper() and char > _LAST_LATIN:
            evidence.signs += 0.5  # capitals and small letters may be exchanged
        elif not before.isalpha() and not after.isalpha() and char not in _ALONE:
            evidence.alone[char] += 1
        elif "a" <= before.lower() <= "z" or "a" <= after.lower() <= "z":
            evidence.mixed[char] += 1
        else:
            evidence.letters[char] += 1
    elif char == "\xa0" and (before == " " or after == " "):
        evidence.signs += 0.5
    elif char in _PUNCTUATION or char == "\xa0":
        evidence.signs += -1.0 if between else 1.0
    elif before.isalpha() or after.isalpha():
        evidence.signs -= 0.5
    else:
        evidence.signs += 0.9 if "\u2500" <= char <= "\u259f" else 0.2  # frames, or unusual


def _fit(evidence: _Evidence, language: str) -> float:
    if not evidence.total:
        return 1.0
    alphabet, is_latin = letters_of(language), has_latin_letters(language)
    score = evidence.signs
    found = 0
    for letters in (evidence.letters, evidence.mixed, evidence.alone):
        for letter, count in letters.items():
            found += count
            if letter in alphabet:
                if is_latin and letters is evidence.alone:
                    score += _LONELY * count
                elif not is_latin and letters is evidence.mixed:
                    score -= count
                else:
                    score += count
            elif is_latin and letter in _loans():
                score += _LOAN * count
    fit = score / evidence.total
    if language in ("en", UNKNOWN) and found > _MAX_ENGLISH_SHARE * (
        found + evidence.ascii_letters
    ):
        return min(fit, 0.5)
    common = common_letters_of(language)
    if common and fit > 0 and found:
        share = sum(count for letter, count in evidence.letters.items() if letter in common)
        fit *= min(1.0, share / found / _EXPECTED_COMMON)
    return fit


@cache
def _category(char: str) -> str:
    return unicodedata.category(char)


@cache
def _loans() -> frozenset[str]:
    return frozenset(WESTERN + WESTERN.upper())
