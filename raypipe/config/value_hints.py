"""Say how a value of the wrong kind is written instead."""

from __future__ import annotations

import re
from typing import Any

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt])(i?)b?", re.IGNORECASE)
_THOUSANDS = re.compile(r"\d{1,3}([,_']\d{3})+")
_POWERS = {"k": 1, "m": 2, "g": 3, "t": 4}
_LISTED = re.compile(r"[^\[\](){}]+,[^\[\](){}]+")


def hint_for(value: Any, wanted: str) -> str:
    """Return `; ...` with the form that works, or ''.

    Args:
        value: The value that was given.
        wanted: The kind that the option needs, e.g. `a whole number`.
    """
    text = str(value)
    if "list" in wanted:
        return f"; write [{text}]" if isinstance(value, str) else ""
    if "number" not in wanted:
        return ""
    if _THOUSANDS.fullmatch(text):
        return f"; write {re.sub('[^0-9]', '', text)}"
    if size := _SIZE.fullmatch(text):
        base = 1024 if size[3] else 1000
        return f"; write {round(float(size[1]) * base ** _POWERS[size[2].lower()])}"
    if isinstance(value, str) and _LISTED.fullmatch(text):
        return "; add -m to run a job for each value"
    try:
        number = float(text)
    except ValueError:
        return ""
    is_whole = number.is_integer() and "whole" in wanted
    return f"; write {int(number)}" if is_whole else ""
