"""Repair the body of a Converse response, so that boto3 does not reject a paid answer.

boto3 raises for a token count of another type, or for an integer of thousands of digits anywhere in
the body. The text of such an answer is fine.
"""

from __future__ import annotations

import json
import re
from typing import Any

from raypipe.models.json_object import parse_json_object
from raypipe.models.protocol import ModelError
from raypipe.models.token_counts import read_count

_HUGE_INTEGER = re.compile(rb"[0-9]{1000}")
_COUNTS = ("inputTokens", "outputTokens", "totalTokens")


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
    usage = parsed.get("usage")
    counts = usage if isinstance(usage, dict) else {}
    valid = {name: read_count(counts.get(name)) for name in _COUNTS}
    is_valid = valid == usage and not any(isinstance(counts[name], bool) for name in _COUNTS)
    if not is_valid or _HUGE_INTEGER.search(body):
        response_dict["body"] = json.dumps({**parsed, "usage": valid}).encode()
