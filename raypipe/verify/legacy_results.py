"""Read the results of another system, such as the scripts that raypipe replaces.

Supported are JSON files with one result, a list of results or a mapping of key to result; JSON
lines; and a pickle of processed keys. A pickle can run code when it is loaded, so it is never
loaded: only its strings are extracted.
"""

from __future__ import annotations

import json
import pickletools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

SUFFIXES = (".json", ".jsonl", ".pkl", ".pickle")
"""Suffixes of the files that can be read."""

_KEY_FIELDS = (
    "s3_key",
    "key",
    "book_key",
    "object_key",
    "source_key",
    "file",
    "filename",
    "file_name",
)
_TITLE_FIELDS = ("title", "book_title")
_AUTHOR_FIELDS = ("author", "book_author")
_SUMMARY_FIELDS = ("combined_summary", "summary", "summary_text")
_PARTIAL_SUMMARY_FIELDS = ("plot_summary", "thematic_analysis", "character_summary")
_NAME_ENDINGS = ("_summary", "-summary", ".summary", "_summaries", ".txt")
"""What scripts append to the name of a book, before the suffix."""


class UnreadableError(Exception):
    """A file contains no results that can be read; the message gives the reason."""


@dataclass(frozen=True, slots=True)
class LegacyResult:
    """One book's result of another system; unknown values are empty.

    Args:
        file: Name of the file that contains the result, for messages.
        key: The book's key, or the file name without its suffix and the endings of scripts.
        title: The book's title.
        author: The book's author.
        summary: The book's summary; without one, the summaries of plot, themes and characters.
    """

    file: str
    key: str
    title: str = ""
    author: str = ""
    summary: str = ""


def read_legacy_results(name: str, data: bytes) -> list[LegacyResult]:
    """Return the results in a file.

    Args:
        name: Name of the file; its suffix determines the format.
        data: Content of the file.

    Raises:
        UnreadableError: The file is damaged, or contains no results.
    """
    if name.endswith((".pkl", ".pickle")):
        return [LegacyResult(name, key) for key in extract_pickled_strings(data)]
    try:
        text = data.decode("utf-8-sig")
        content = _parse_json_lines(text) if name.endswith(".jsonl") else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"not JSON: {error}") from None
    results = list(_parse_results(name, content))
    if not results:
        raise UnreadableError("it contains no key, title or summary")
    return results


def extract_pickled_strings(data: bytes) -> list[str]:
    """Return the different strings in a pickle, without loading it.

    `pickletools` only reads the opcodes, so nothing that the pickle names is imported or called.

    Raises:
        UnreadableError: The data is not a pickle, or is truncated.
    """
    strings: dict[str, None] = {}
    history: list[str] = []
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "STACK_GLOBAL":  # the last two strings are the name of a class
                for name in history[-2:]:
                    strings.pop(name, None)
            elif isinstance(argument, str) and opcode.name.endswith(("UNICODE", "UNICODE8")):
                history.append(argument)
                strings[argument] = None
    except Exception as error:
        raise UnreadableError(f"not a pickle, or truncated: {error}") from None
    return list(strings)


def _parse_json_lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def _parse_results(name: str, content: Any) -> Iterator[LegacyResult]:
    """Yield the results in the content of a JSON file."""
    if isinstance(content, Mapping):
        if result := _parse_result(name, content, _book_name(name)):
            yield result
            return
        for key, value in content.items():
            if isinstance(value, Mapping) and (result := _parse_result(name, value, str(key))):
                yield result
        if not any(isinstance(value, Mapping) for value in content.values()):
            yield from _parse_list(name, content.values())
    elif isinstance(content, list):
        yield from _parse_list(name, content)


def _parse_list(name: str, values: Iterable[Any]) -> Iterator[LegacyResult]:
    """Yield the results, or the keys of processed books, in nested lists."""
    for value in values:
        if isinstance(value, list):
            yield from _parse_list(name, value)
        elif isinstance(value, str):
            yield LegacyResult(name, value)
        elif isinstance(value, Mapping) and (result := _parse_result(name, value, "")):
            yield result


def _parse_result(file: str, fields: Mapping[Any, Any], default_key: str) -> LegacyResult | None:
    """Return the result in a JSON object; None if it has no title, summary or key."""
    title, author = _first_text(fields, _TITLE_FIELDS), _first_text(fields, _AUTHOR_FIELDS)
    partial_summaries = (_text(fields.get(name)) for name in _PARTIAL_SUMMARY_FIELDS)
    summary = _first_text(fields, _SUMMARY_FIELDS) or " ".join(filter(None, partial_summaries))
    key = _first_text(fields, _KEY_FIELDS)
    if not (title or summary or key):
        return None
    return LegacyResult(file, key or default_key, title, author, summary)


def _first_text(fields: Mapping[Any, Any], names: Iterable[str]) -> str:
    """Return the first of these fields with a text, or ''."""
    return next(filter(None, (_text(fields.get(name)) for name in names)), "")


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _book_name(file: str) -> str:
    """Return a file's name without its suffix and what scripts append to a book's name."""
    name = PurePosixPath(file).name
    name = name[: -len(PurePosixPath(name).suffix)]
    for ending in _NAME_ENDINGS:
        name = name.removesuffix(ending)
    return name
