"""Results of another system, such as the scripts that raypipe replaces: read, never run.

Understood are JSON files with one result, a list of results, or a mapping of key to result, JSON
lines, and a pickle of processed keys, of which only the strings are taken out: a pickle can
run code when it is loaded.
"""

from __future__ import annotations

import json
import pickletools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

SUFFIXES = (".json", ".jsonl", ".pkl", ".pickle")

_KEY = ("s3_key", "key", "book_key", "object_key", "source_key", "file", "filename", "file_name")
_TITLE = ("title", "book_title")
_AUTHOR = ("author", "book_author")
_SUMMARY = ("combined_summary", "summary", "summary_text")
_PARTS = ("plot_summary", "thematic_analysis", "character_summary")
_AFFIXES = ("_summary", "-summary", ".summary", "_summaries", ".txt")


class UnreadableError(Exception):
    """A file holds no results that can be understood; says why."""


@dataclass(frozen=True, slots=True)
class LegacyResult:
    """One book's result as another system left it; what is not known is empty.

    Attributes:
        place: The file it stands in, for a person.
        key: The book's key, or the name of the file without what was added to it.
        title: The book's title.
        author: The book's author.
        summary: Its summary; where there is only one of plot, themes and characters, those.
    """

    place: str
    key: str
    title: str = ""
    author: str = ""
    summary: str = ""


def read_legacy_results(name: str, data: bytes) -> list[LegacyResult]:
    """Return the results in one file.

    Args:
        name: The file's name; its suffix says what it is.
        data: Its bytes.

    Raises:
        UnreadableError: It is damaged, or holds something else.
    """
    if name.endswith((".pkl", ".pickle")):
        return [LegacyResult(name, key) for key in strings_of_pickle(data)]
    try:
        text = data.decode("utf-8-sig")
        found = _lines(text) if name.endswith(".jsonl") else json.loads(text)
    except ValueError as error:
        raise UnreadableError(f"no JSON: {error}") from None
    results = list(_results(name, found))
    if not results:
        raise UnreadableError("no key, title or summary is in it")
    return results


def strings_of_pickle(data: bytes) -> list[str]:
    """Return the strings in a pickle, each once, without loading it.

    `pickletools` only reads the opcodes, so nothing that a pickle names is imported or called.

    Raises:
        UnreadableError: It is no pickle, or is cut off.
    """
    found: dict[str, None] = {}
    try:
        last: list[str] = []
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "STACK_GLOBAL":  # the two strings before it named a class
                for name in last[-2:]:
                    found.pop(name, None)
            elif isinstance(argument, str) and opcode.name.endswith(("UNICODE", "UNICODE8")):
                last.append(argument)
                found[argument] = None
    except Exception as error:
        raise UnreadableError(f"no pickle, or cut off: {error}") from None
    return list(found)


def _lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def _results(name: str, found: Any) -> Iterator[LegacyResult]:
    if isinstance(found, Mapping):
        if one := _result(name, found, _stem(name)):
            yield one
            return
        for key, inner in found.items():
            if isinstance(inner, Mapping) and (one := _result(name, inner, str(key))):
                yield one
        if not any(isinstance(inner, Mapping) for inner in found.values()):
            yield from _listed(name, found.values())
    elif isinstance(found, list):
        yield from _listed(name, found)


def _listed(name: str, values: Iterable[Any]) -> Iterator[LegacyResult]:
    """Yield what stands in lists: results, or the keys of processed books."""
    for value in values:
        if isinstance(value, list):
            yield from _listed(name, value)
        elif isinstance(value, str):
            yield LegacyResult(name, value)
        elif isinstance(value, Mapping) and (one := _result(name, value, "")):
            yield one


def _result(place: str, cells: Mapping[Any, Any], key: str) -> LegacyResult | None:
    title, author = _first(cells, _TITLE), _first(cells, _AUTHOR)
    parts = " ".join(filter(None, (_text(cells.get(name)) for name in _PARTS)))
    summary = _first(cells, _SUMMARY) or parts
    named = _first(cells, _KEY)
    if not (title or summary or named):
        return None
    return LegacyResult(place, named or key, title, author, summary)


def _first(cells: Mapping[Any, Any], names: Iterable[str]) -> str:
    return next(filter(None, (_text(cells.get(name)) for name in names)), "")


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _stem(name: str) -> str:
    """Return a file's name without its suffix and what scripts add to a book's name."""
    stem = PurePosixPath(name).name
    stem = stem[: -len(PurePosixPath(stem).suffix)]
    for affix in _AFFIXES:
        stem = stem.removesuffix(affix)
    return stem
