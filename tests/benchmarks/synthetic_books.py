"""Books of any size for benchmarks: English word rates, invented names and subjects, a seed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files

import numpy as np

_SYLLABLES = re.findall(
    "[a-z]+",
    "ba be bri car da del dor el fa fin gar ha hol is jo kel la lin mar mon na ner or pel quin "
    "ra ric sal sen tar tho ul van ver wil yor zan",
)
_OWN_WORDS = 6_000
_OWN_SHARE = 0.12
_LINE = re.compile(r"(\S.{0,68}\S|\S)(?: |$)")


def synthetic_books(count: int, size: int, seed: int = 1) -> Iterator[bytes]:
    """Yield books as a library would hold them: hard lines, CRLF, markers, two encodings.

    Each book has words of its own, as real ones have, so that a cache that keeps every word or
    sentence it ever saw grows and is seen growing.

    Args:
        count: How many.
        size: Bytes of each, about.
        seed: Same seed, same books.
    """
    words, rates = _english()
    for number in range(count):
        random = np.random.default_rng([seed, number])
        body = _body(random, words, rates, size)
        text = (
            f"Title: The Book of {_invented(random, 1)[0].capitalize()}\n"
            f"Author: {_invented(random, 1)[0].capitalize()} {number}\n\n"
            "*** START OF THIS PROJECT GUTENBERG EBOOK ***\n\n"
            f"{body}\n*** END OF THIS PROJECT GUTENBERG EBOOK ***\n"
        )
        encoding = "cp1252" if number % 2 else "utf-8"
        yield text.replace("\n", "\r\n").encode(encoding)


def _english() -> tuple[list[str], np.ndarray]:
    path = files("raypipe.summarizers").joinpath("common_english.txt")
    pairs = [line.split() for line in path.read_text("utf-8").splitlines() if line[0] != "#"]
    rates = np.array([float(rate) for _, rate in pairs])
    return [word for word, _ in pairs], rates / rates.sum()


def _invented(random: np.random.Generator, count: int) -> list[str]:
    picks = random.integers(len(_SYLLABLES), size=(count, 4))
    lengths = random.integers(2, 5, size=count)
    return [
        "".join(_SYLLABLES[at] for at in row[:length])
        for row, length in zip(picks, lengths, strict=True)
    ]


def _body(random: np.random.Generator, words: list[str], rates: np.ndarray, size: int) -> str:
    own = _invented(random, _OWN_WORDS)
    zipf = 1 / np.arange(1, _OWN_WORDS + 1)
    shares = np.concatenate([rates * (1 - _OWN_SHARE), zipf / zipf.sum() * _OWN_SHARE])
    vocabulary = words + own
    draws = np.searchsorted(np.cumsum(shares), random.random(size // 5) * shares.sum() * 0.999999)
    stream = [vocabulary[at] for at in draws]
    lengths = random.integers(4, 36, size=size // 40)
    parts: list[str] = []
    at = chars = 0
    for number, length in enumerate(lengths.tolist()):
        sentence = " ".join(stream[at : at + length])
        at += length
        end = "”\n\n" if number % 5 == 4 else "? " if number % 7 == 3 else ". "
        parts.append(("“" if number % 5 == 0 else "") + sentence.capitalize() + end)
        chars += len(sentence) + 2
        if chars > size or at >= len(stream):
            break
    return "\n\n".join(_LINE.sub(r"\1\n", part) for part in "".join(parts).split("\n\n"))
