"""Repair the body of a Converse response, so that boto3 does not reject a paid answer.

boto3 raises for a token count of another type, for content of another shape, or for an integer of
thousands of digits anywhere in the body. The text of such an answer is fine. An error that a
gateway sends with status 200 becomes an error for boto3, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from raypipe.models.json_object import parse_json_object
from raypipe.models.protocol import ModelError
from raypipe.models.token_counts import read_count

_HUGE_INTEGER = re.compile(rb"[0-9]{1000}")
_COUNTS = ("inputTokens", "outputTokens", "totalTokens")
_STATUSES = (
    ("Throttling", 429), ("TooManyRequests", 429), ("Validation", 400), ("AccessDenied", 403),
    ("UnrecognizedClient", 403), ("ExpiredToken", 403), ("ResourceNotFound", 404),
    ("UnknownOperation", 404), ("ModelTimeout", 408), ("ModelError", 424), ("Unavailable", 503),
)  # fmt: skip
_ERROR_STATUS = 500
"""Statuses of Bedrock's errors, by a part of their name; others have this status."""


def repair_body(response_dict: dict[str, Any], **_: Any) -> None:
    """Replace a body that boto3 would reject; a handler of botocore's event `before-parse`.

    Args:
        response_dict: The response: its HTTP status, and its body as bytes.
    """
    body = response_dict.get("body")
    if response_dict.get("status_code") != 200 or not isinstance(body, bytes):
        return
    try:
        parsed = parse_json_object(body)
    except ModelError:
        return  # boto3 reports it
    if error := _find_error(parsed):
        code, message = error
        status = next((status for part, status in _STATUSES if part in code), _ERROR_STATUS)
        response_dict["status_code"] = status
        response_dict["body"] = json.dumps({"__type": code, "message": message}).encode()
        return
    usage = parsed.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    valid = {name: read_count(counts.get(name)) for name in _COUNTS}
    is_valid = valid == usage and not any(isinstance(counts[name], bool) for name in _COUNTS)
    has_own_content = _repair_content(parsed)
    if not is_valid or has_own_content or _HUGE_INTEGER.search(body):
        response_dict["body"] = json.dumps({**parsed, "usage": valid}).encode()


def _find_error(parsed: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the code and the message of an error; None for a response with an answer."""
    if "output" in parsed or "stopReason" in parsed:
        return None
    for part in (parsed, parsed.get("error"), parsed.get("Error"), parsed.get("Output")):
        if isinstance(part, str):
            return "InternalServerException", part
        if isinstance(part, Mapping):
            names = (part.get(name) for name in ("__type", "type", "code", "Code"))
            code = next((name for name in names if isinstance(name, str) and name), "")
            message = part.get("message") or part.get("Message")
            if code or message:
                return code.rpartition("#")[2] or "InternalServerException", str(message or code)
    return None


def _repair_content(parsed: dict[str, Any]) -> bool:
    """Bring the content into the shape that boto3 expects; return whether it was changed."""
    output = parsed.get("output")
    message = output.get("message") if isinstance(output, dict) else None
    if not isinstance(message, dict):
        return False
    content = message.get("content")
    if isinstance(content, str):
        message["content"] = [{"text": content}]
        return True
    is_changed = False
    for block in content if isinstance(content, list) else ():
        reasoning = block.get("reasoningContent") if isinstance(block, dict) else None
        if isinstance(reasoning, str):
            reasoning = block["reasoningContent"] = {"reasoningText": reasoning}
            is_changed = True
        if isinstance(reasoning, dict) and isinstance(reasoning.get("reasoningText"), str):
            reasoning["reasoningText"] = {"text": reasoning["reasoningText"]}
            is_changed = True
    return is_changed
