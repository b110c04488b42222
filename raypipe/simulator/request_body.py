"""Read JSON request bodies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from raypipe.simulator.calls import CallRefused
from raypipe.simulator.http_connection import HttpRequest

Body = dict[str, Any]


def parse_body(request: HttpRequest) -> Body:
    """Return the JSON object in a request.

    Raises:
        CallRefused: The body is not a JSON object.
    """
    try:
        body = orjson.loads(request.body)
    except orjson.JSONDecodeError as error:
        raise CallRefused("invalid", f"The body is not valid JSON: {error}") from None
    if not isinstance(body, dict):
        raise CallRefused("invalid", "The body is not a JSON object.")
    return body


def as_mapping(value: Any) -> Mapping[str, Any]:
    """Return a mapping unchanged, and an empty mapping for any other value."""
    return value if isinstance(value, Mapping) else {}


def content_texts(content: Any) -> list[str]:
    """Return the texts of a message's content: a string, or blocks with `text`."""
    if isinstance(content, str):
        return [content]
    items: Iterable[Any] = content if isinstance(content, list) else []
    blocks = map(as_mapping, items)
    return [block["text"] for block in blocks if isinstance(block.get("text"), str)]


def last_user_text(messages: Any) -> str:
    """Return the text of the last message with the role `user`."""
    texts = [
        content_texts(message.get("content"))
        for message in map(as_mapping, messages)
        if message.get("role") == "user"
    ]
    return "\n".join(texts[-1]) if texts else ""


def whole_number(name: str, value: Any) -> int:
    """Return a value that must be a whole number of at least 1.

    Raises:
        CallRefused: The value is another one.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise CallRefused("invalid", f"{name}={value!r} must be a whole number of at least 1.")
    return value
