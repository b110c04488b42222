"""Write an option with its value as an override that Hydra reads back unchanged."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from raypipe.cli.arguments import quote

_PLAIN_KEY_CHARACTER = re.compile(r"[\w.-]")


def format_override(key: str, value: Any) -> str:
    """Return `key=value` for Hydra; text arrives as text, whatever it looks like.

    Args:
        key: The option, with `+` where its part has an option that no file shows.
        value: None, a truth value, a number, a text, or lists and mappings of these.
    """
    # Hydra merges a mapping into the present value only where new keys are allowed.
    prefix = "++" if isinstance(value, Mapping) and not key.startswith("+") else ""
    return f"{prefix}{key}={format_value(value)}"


def format_value(value: Any) -> str:
    """Return a value in Hydra's grammar."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        pairs = (f"{_escape_key(str(key))}:{format_value(item)}" for key, item in value.items())
        return f"{{{','.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{','.join(map(format_value, value))}]"
    return quote(str(value))


def _escape_key(key: str) -> str:
    r"""Escape a key of a mapping, which Hydra does not let anybody quote.

    A word such as `null` and a number keep their meaning: as keys they become text.
    """
    return "".join(
        character if _PLAIN_KEY_CHARACTER.match(character) else f"\\{character}"
        for character in key
    )
