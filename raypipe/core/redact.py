"""Remove secrets from a configuration before it is written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

REDACTED = "(not kept)"

_URL_LOGIN = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^/\s@]+@", re.IGNORECASE)
_ASSIGNMENT = re.compile(r"(?P<key>[\w.\-]+)=(?P<value>[^\s&]+)")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SECRET_WORD = re.compile(
    r"password|passwd|pass|passphrase|pwd|secrets?|credentials?|authorization|bearer|cookie|"
    r"signature|apikey"
)
_SECRET_KEY = re.compile(r"(api|access|private|auth|account|signing|encryption) key|key id")
# Tokens of a model are counted; a token that grants access is not.
_COUNT_WORD = re.compile(r"max|min|per|count|limit|budget|number|num|input|output|total|price")


def redact(value: Any, key: str = "") -> Any:
    """Return a configuration as plain lists and dicts, with `REDACTED` in place of secrets.

    A secret is recognized by its key (`password`, `api_key`, `session_token`, but not
    `max_tokens`), in a URL by its place before the `@`, and in a text as the `name=value` of an
    override.

    Args:
        value: The configuration, or a value in it.
        key: Key of the value.
    """
    if value is None or isinstance(value, bool) or value == "":
        return value
    if _is_secret(key, value):
        return REDACTED
    if isinstance(value, Mapping):
        return {str(name): redact(inner, str(name)) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(inner, key) for inner in value]
    if isinstance(value, int | float):
        return value
    text = _URL_LOGIN.sub(rf"\g<1>{REDACTED}@", str(value))
    return _ASSIGNMENT.sub(_redact_assignment, text)


def _is_secret(key: str, value: Any) -> bool:
    words = [word.lower() for word in _WORD.findall(key)]
    if any(map(_SECRET_WORD.fullmatch, words)) or _SECRET_KEY.search(" ".join(words)):
        return True
    if words[-1:] not in (["token"], ["tokens"]) or any(map(_COUNT_WORD.fullmatch, words)):
        return False
    # A number under `tokens` is a count of tokens; a number under `token` may be a secret.
    return words[-1] == "token" or not isinstance(value, int | float)


def _redact_assignment(match: re.Match[str]) -> str:
    key = match["key"].rpartition(".")[2]
    return f"{match['key']}={REDACTED}" if _is_secret(key, match["value"]) else match[0]
