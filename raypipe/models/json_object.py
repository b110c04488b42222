"""Parse the body of a model's response."""

from __future__ import annotations

from typing import Any

import orjson

from raypipe.models.protocol import ModelError


def parse_json_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in the body of a response.

    Raises:
        ModelError: The body is not a JSON object.
    """
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        parsed = None
    if not isinstance(parsed, dict):
        raise ModelError.bad_response("the answer is not a JSON object")
    return parsed
