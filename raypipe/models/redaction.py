"""Remove secrets and quoted request texts from the messages of model servers."""

from __future__ import annotations

from collections.abc import Sequence

from raypipe.core.printable import escape_line
from raypipe.core.redact import redact_urls

_MAX_CHARS = 300
_MAX_QUOTED_CHARS = 30
"""Consecutive characters that a message may share with the request, as "max_tokens" does."""


def redact_message(message: str, sent: Sequence[str] = (), secrets: Sequence[str] = ()) -> str:
    """Return a server's message as one short line, without secrets and without the request's text.

    Some servers quote the request that they refuse, and with it a book's text. The message is cut
    where a quote begins.

    Args:
        message: The server's message.
        sent: Texts of the request.
        secrets: Values to replace by `***`, such as an API key; empty ones are ignored.
    """
    for secret in filter(None, secrets):
        message = message.replace(secret, "***")
    line = " ".join(redact_urls(message).replace("\\n", " ").split())
    line = escape_line(line)[:_MAX_CHARS]
    texts = [" ".join(text.split()) for text in sent]
    for start in range(len(line) - _MAX_QUOTED_CHARS + 1):
        if any(line[start : start + _MAX_QUOTED_CHARS] in text for text in texts):
            return line[:start].rstrip() + " ..."
    return line
