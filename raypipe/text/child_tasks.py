"""What the child process does with long texts; see `raypipe.text.isolation`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import import_module
from typing import Any

from raypipe.core.errors import BookError
from raypipe.text.cleaner import TextCleaner, extraction_from
from raypipe.text.formats.protocol import Format
from raypipe.text.formats.recognize import open_file
from raypipe.text.memory_limit import limit_memory
from raypipe.text.sentences import split_here


def extract(
    data: bytes,
    *,
    key: str,
    formats: Sequence[tuple[str, Mapping[str, Any]]],
    max_file_bytes: int,
    max_bytes: int,
) -> tuple[dict[str, Any], bytes]:
    """Open a file and read its format; return what it states and its text in UTF-8.

    Args:
        data: The whole object.
        key: The object's key.
        formats: The path of the class of each format, and its settings.
        max_file_bytes: Maximum size of what is decompressed.
        max_bytes: Maximum size of the text with its markup.

    Returns:
        `{"extraction": ...}` and the text; `{}` and the content of a file that is plain text when
        it is decompressed; or `{"failure": ...}`.
    """
    try:
        with limit_memory(key):
            parts = [make_format(path, settings) for path, settings in formats]
            opened = open_file(parts, data, key, max_file_bytes)
            if opened.format is None:
                return {}, opened.data
            found = asdict(opened.format.read(opened.data, key, max_bytes))
    except BookError as error:
        return _describe(error), b""
    text = found.pop("text").encode("utf-8", "replace")
    return {"extraction": found}, text


def make_format(path: str, settings: Mapping[str, Any]) -> Format:
    """Return a format from the path of its class, `module:Class`, and its settings."""
    module, _, name = path.partition(":")
    made: Format = getattr(import_module(module), name)(**settings)
    return made


def _describe(error: BookError) -> dict[str, Any]:
    failure = {"kind": error.kind, "message": error.message, "retryable": error.retryable}
    return {"failure": failure}


def clean(
    data: bytes,
    *,
    key: str,
    settings: Mapping[str, Any],
    extraction: Mapping[str, Any] | None = None,
) -> tuple[dict[str, Any], bytes]:
    """Clean a book; return its properties and its text in UTF-8, or the failure.

    Args:
        data: The whole object, or the text that `extract` returned.
        key: The object's key.
        settings: Arguments of `TextCleaner`.
        extraction: What `extract` returned with the text.
    """
    extracted = extraction_from(extraction, data) if extraction is not None else None
    try:
        book = TextCleaner(**settings).clean_here(data, key, extracted)
    except BookError as error:
        return _describe(error), b""
    properties = asdict(book)
    text = properties.pop("text").encode()
    return {"book": properties}, text


def split(data: bytes, *, language: str) -> tuple[list[str], bytes]:
    """Return the sentences of a text in UTF-8."""
    return split_here(data.decode(), language), b""
