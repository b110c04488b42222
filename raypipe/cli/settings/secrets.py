"""Find secrets among the options of a settings file."""

from __future__ import annotations

import re
from typing import Any

from raypipe.core.redact import redact

_TOKEN_KINDS = {"opensearch.connection.token": ("bearer", "api_key", None)}
"""An option that tells how a token is sent, and its values."""

_REFERENCES = ("env", "file", "path", "variable")
"""Last words of options that tell where a secret is."""

_LOOKS_SECRET = re.compile(
    r"\b(AKIA|ASIA)[0-9A-Z]{16}\b"  # access keys of AWS
    r"|\bsk-[A-Za-z0-9_-]{20,}"  # keys of OpenAI and servers like it
    r"|\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\."  # JSON web tokens
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)


def find_secret(name: str, value: Any) -> str:
    """Return a line about a secret, which never shows it, or ''.

    Args:
        name: Full name of the option.
        value: Its value.
    """
    last = name.rpartition(".")[2]
    if name in _TOKEN_KINDS:
        is_secret = value not in _TOKEN_KINDS[name]
    else:
        key = "" if last.rpartition("_")[2] in _REFERENCES else last
        is_secret = redact(value, key) != _as_text_keys(value) or _has_pattern(value)
    if not is_secret:
        return ""
    return (
        f"{name} holds a secret. Fix: remove it; secrets come from the environment "
        "(OPENSEARCH_PASSWORD, OPENSEARCH_TOKEN, OPENAI_API_KEY, an AWS profile)"
    )


def _as_text_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _as_text_keys(item) for key, item in value.items()}
    return [_as_text_keys(item) for item in value] if isinstance(value, list) else value


def _has_pattern(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_pattern, value.values()))
    if isinstance(value, list):
        return any(map(_has_pattern, value))
    return isinstance(value, str) and bool(_LOOKS_SECRET.search(value))
