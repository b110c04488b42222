"""What the protocols have in common: reading bodies, and who is told what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import orjson

from raypipe.simulator.calls import Answer, Call, Refused
from raypipe.simulator.http import Request, Response

Body = dict[str, Any]


class Wire(Protocol):
    """One protocol: requests in, calls out, and back."""

    def read(self, request: Request) -> Call:
        """Return the call; raises Refused where it makes no sense."""

    def ok(self, call: Call, answer: Answer) -> Response:
        """Shape a 200."""

    def error(self, refused: Refused) -> Response:
        """Shape an error."""


def body_of(request: Request) -> Body:
    """Return the JSON object that was sent.

    Raises:
        Refused: It is none.
    """
    try:
        body = orjson.loads(request.body)
    except orjson.JSONDecodeError as error:
        raise Refused("invalid", f"The body is no JSON: {error}") from None
    if not isinstance(body, dict):
        raise Refused("invalid", "The body is no JSON object.")
    return body


def mapping(value: Any) -> Mapping[str, Any]:
    """Return a mapping as it is, and anything else as an empty one."""
    return value if isinstance(value, Mapping) else {}


def texts_of(blocks: Any) -> list[str]:
    """Return the texts of content: a string, or blocks with `text`."""
    if isinstance(blocks, str):
        return [blocks]
    items: Iterable[Any] = blocks if isinstance(blocks, list) else []
    return [one["text"] for one in map(mapping, items) if isinstance(one.get("text"), str)]


def users_text(messages: Any) -> str:
    """Return the text of the last message that is the user's."""
    found = [texts_of(one.get("content")) for one in map(mapping, messages) if _is_user(one)]
    return "\n".join(found[-1]) if found else ""


def whole(name: str, value: Any, least: int = 1) -> int:
    """Return a whole number.

    Raises:
        Refused: It is none, or too small.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise Refused("invalid", f"{name}={value!r} must be a whole number of at least {least}.")
    return value


def _is_user(message: Mapping[str, Any]) -> bool:
    return message.get("role") == "user"
