"""Read passwords and tokens, and check that certificate files exist."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from raypipe.core.errors import SetupError

SCHEMES: Mapping[str, str] = {"bearer": "Bearer", "api_key": "ApiKey"}
"""Scheme of the Authorization header by setting: RFC 6750, and OpenSearch's API keys."""


def read_password(username: str, variable: str) -> str:
    """Return the password of a user.

    Args:
        username: User name, for the error message.
        variable: Name of the environment variable that holds the password.

    Raises:
        SetupError: The variable is not set.
    """
    password = os.environ.get(variable)
    if not password:
        raise SetupError(
            f"opensearch.connection.username={username} needs a password: set the "
            f"environment variable {variable} (on a cluster, on each node)"
        )
    return password


def token_header(scheme: str | None, variable: str, file: str | None) -> dict[str, str]:
    """Return the header that carries a token.

    A token file is read on each call, because it may be renewed.

    Args:
        scheme: Key of `SCHEMES`; None for no token.
        variable: Name of the environment variable that holds the token.
        file: File that holds the token; takes precedence over the variable.

    Raises:
        SetupError: The token is missing, unreadable or not a single word.
    """
    if scheme is None:
        return {}
    if file is not None:
        try:
            token = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not a UTF-8 text"
            raise SetupError(f"opensearch.connection.token_file={file}: {reason}") from None
    else:
        token = os.environ.get(variable, "").strip()
    if not token:
        place = f"the file {file}" if file else f"the environment variable {variable}"
        raise SetupError(
            f"opensearch.connection.token={scheme} needs a token: put it into {place} (on a "
            "cluster, on each node)"
        )
    if not token.isascii() or any(character.isspace() for character in token):
        raise SetupError(
            f"the token for opensearch.connection.token={scheme} must be a single ASCII word"
        )
    return {"authorization": f"{SCHEMES[scheme]} {token}"}


def check_files(files: Mapping[str, str | None]) -> None:
    """Raise `SetupError` for a file that does not exist.

    Args:
        files: Paths by the name of their setting; None for a setting that is not given.
    """
    for name, path in files.items():
        if path and not Path(path).is_file():
            raise SetupError(f"opensearch.connection.{name}={path}: no such file")
