"""The books of the comparison: generated text, five of them refused, five of them no text."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from pathlib import Path

MARKER = "ZZREFUSED"
BAD_EACH = 5
_NAME = re.compile(r"The_Book_(\d{5})_")


def write_books(folder: Path, count: int, size: int, first: int = 0) -> Path:
    """Write books with different texts; return the folder.

    Args:
        folder: A new folder.
        count: Number of books.
        size: Bytes of each book, approximately.
        first: Number of the first book; other numbers give other texts.
    """
    from simulated import book

    folder.mkdir(parents=True)
    for number in range(count):
        (folder / _name(number)).write_text(book(first + number, 1, size), encoding="utf-8")
    return folder


def write_bad_books(folder: Path, count: int, size: int) -> Path:
    """Write books as `write_books` does; mark some to be refused, fill others with random bytes."""
    write_books(folder, count, size)
    for number, is_text in find_bad(count).items():
        path = folder / _name(number)
        if is_text:
            text = path.read_text(encoding="utf-8")
            path.write_text(f"{text[:200]} {MARKER} {text[200:]}", encoding="utf-8")
        else:
            path.write_bytes(random.Random(number).randbytes(size))
    return folder


def find_bad(count: int) -> dict[int, bool]:
    """Return the numbers of the bad books, and whether each is a text with the marker."""
    step = count // (2 * BAD_EACH)
    return {step * at + step // 2: at % 2 == 0 for at in range(2 * BAD_EACH)}


def find_numbers(texts: Iterable[str]) -> set[int]:
    """Return the numbers of the books whose file names are in the texts."""
    return {int(number) for text in texts for number in _NAME.findall(text)}


def _name(number: int) -> str:
    return f"The_Book_{number:05d}__by__Author_{number % 97}.txt"
