"""Remove secrets from a configuration before it is written, and from messages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

REDACTED = "(not kept)"

# A password may contain `@`; by mistake also `/`, `?` or `#`: the part after `:` is no port then.
# The bounds keep a search linear in the length of the text.
_URL_LOGIN = re.compile(
    r"\b([a-z][a-z0-9+.-]{0,30}://+)"
    r"(?:[^\s/?#]{0,500}@|[^\s/?#:@]{0,200}:(?!\d*[/?#])\S{0,500}@)",
    re.IGNORECASE,
)
# The value of a URL option: its password may contain spaces, or the scheme is missing.
_OPTION_LOGIN = re.compile(r"^(\s*[a-z][a-z0-9+.-]*://)[^/?#]*@", re.IGNORECASE)
_NO_SCHEME_LOGIN = re.compile(r"^[^@]*:.*@", re.DOTALL)
_URL_KEY = re.compile(r"(endpoint|url|uri|proxy)$", re.IGNORECASE)
_QUERY = re.compile(r"(?<=[?&;])(?P<key>[\w.%-]+)=(?!\(not kept\))(?P<value>[^\s&;#'\"]+)")
_QUERY_SECRETS = ("key", "sig", "sas")
_ASSIGNMENT = re.compile(r"(?P<key>[\w.\-]+)=(?!\(not kept\))(?P<value>[^\s&]+)")
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
    return _ASSIGNMENT.sub(_redact_assignment, redact_urls(str(value), key))


def redact_urls(text: str, key: str = "") -> str:
    """Return a text with `REDACTED` in place of user names, passwords and tokens in URLs.

    Args:
        text: Any text, such as the message of a client library.
        key: Name of the option whose value the text is. A URL option may lack the scheme.
    """
    if "@" in text:
        text = _URL_LOGIN.sub(rf"\g<1>{REDACTED}@", text)
        if _URL_KEY.search(key):
            if "://" in text:
                text = _OPTION_LOGIN.sub(rf"\g<1>{REDACTED}@", text)
            elif not key.endswith("uri"):  # a state's URI may be a folder
                text = _NO_SCHEME_LOGIN.sub(f"{REDACTED}@", text)
    return _QUERY.sub(_redact_query, text) if "=" in text else text


def has_url_secret(text: str, key: str = "") -> bool:
    """Whether a text has a URL with a user name, a password or a token.

    Args:
        text: The text.
        key: As for `redact_urls`.
    """
    return redact_urls(text, key) != text


def refuse_url_secret(name: str, url: str | None, fix: str) -> None:
    """Refuse a URL with a user name, a password or a token, which messages would show.

    Args:
        name: Name of the setting.
        url: Its value.
        fix: How to pass the secret, for the message.

    Raises:
        ValueError: The URL has a secret. The message does not repeat it.
    """
    if url and has_url_secret(url, "url"):
        raise ValueError(f"{name} must not contain a user name, password or token; {fix}")


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


def _redact_query(match: re.Match[str]) -> str:
    is_secret = match["key"].lower() in _QUERY_SECRETS or _is_secret(match["key"], match["value"])
    return f"{match['key']}={REDACTED}" if is_secret else match[0]
