"""What lets a client in: passwords, tokens, and files that must be there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from raypipe.core.errors import SetupError

SCHEMES: Mapping[str, str] = {"bearer": "Bearer", "api_key": "ApiKey"}
"""The word before the token in the Authorization header: RFC 6750, and OpenSearch's API keys."""


def password(username: str, variable: str) -> str:
    """Return the password of a user.

    Args:
        username: The user.
        variable: Name of the environment variable that holds it.

    Raises:
        SetupError: It is not set.
    """
    found = os.environ.get(variable)
    if not found:
        raise SetupError(
            f"opensearch.connection.username={username} needs a password: set the "
            f"environment variable {variable} (on a cluster, on each node)"
        )
    return found


def token_header(scheme: str | None, variable: str, file: str | None) -> dict[str, str]:
    """Return the header that carries a token; a file is read anew each time, as it may be renewed.

    Args:
        scheme: One of `SCHEMES`; None = no token.
        variable: Name of the environment variable that holds it.
        file: A file that holds it instead.

    Raises:
        SetupError: There is none.
    """
    if scheme is None:
        return {}
    if file is not None:
        try:
            found = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is no text"
            raise SetupError(f"opensearch.connection.token_file={file}: {reason}") from None
    else:
        found = os.environ.get(variable, "").strip()
    if not found:
        place = f"the file {file}" if file else f"the environment variable {variable}"
        raise SetupError(
            f"opensearch.connection.token={scheme} needs a token: put it into {place} (on a "
            "cluster, on each node)"
        )
    if not found.isascii() or any(one.isspace() for one in found):
        raise SetupError(f"the token for opensearch.connection.token={scheme} is not one word")
    return {"authorization": f"{SCHEMES[scheme]} {found}"}


def check_files(files: Mapping[str, str | None]) -> None:
    """Raise `SetupError` for a file that is not there.

    Args:
        files: Paths by the name of their setting; None = not given.
    """
    for name, path in files.items():
        if path and not Path(path).is_file():
            raise SetupError(f"opensearch.connection.{name}={path}: no such file")
