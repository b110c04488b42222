"""What the child process does with long texts; see `raypipe.text.isolation`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from raypipe.core.errors import BookError
from raypipe.text.cleaner import TextCleaner
from raypipe.text.sentences import split_here


def clean(data: bytes, *, key: str, settings: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Clean a book; return its properties and its text in UTF-8, or the failure.

    Args:
        data: The whole object.
        key: The object's key.
        settings: Arguments of `TextCleaner`.
    """
    try:
        book = TextCleaner(**settings).clean_here(data, key)
    except BookError as error:
        failure = {"kind": error.kind, "message": error.message, "retryable": error.retryable}
        return {"failure": failure}, b""
    properties = asdict(book)
    text = properties.pop("text").encode()
    return {"book": properties}, text


def split(data: bytes, *, language: str) -> tuple[list[str], bytes]:
    """Return the sentences of a text in UTF-8."""
    return split_here(data.decode(), language), b""
