"""Parse the body of a model's response."""

from __future__ import annotations

import json
from typing import Any

import orjson

from raypipe.models.protocol import ModelError

_MAX_DIGITS = 18


def parse_json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in the body of a response.

    Raises:
        ModelError: The body is not a JSON object.
    """
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        parsed = _parse_leniently(body)
    if not isinstance(parsed, dict):
        raise ModelError.bad_response("the answer is not a JSON object")
    return parsed


def _parse_leniently(body: bytes) -> Any:
    """Parse JSON with half a surrogate pair or NaN, which orjson refuses; None if it fails.

    The rest of such an answer may be fine, and it was paid for.
    """
    try:
        # An integer of thousands of digits is an error for int(), and it is no value that is read.
        return json.loads(body, parse_int=_parse_int)
    except (ValueError, RecursionError):
        return None


def _parse_int(digits: str) -> int | None:
    return int(digits) if len(digits) <= _MAX_DIGITS else None
