"""Find the certificates to trust in the environment, by one rule for all clients."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from raypipe.core.environment import set_variables
from raypipe.core.errors import SetupError

VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE")
"""Variables that name a file of trusted certificates; the first that is set counts."""


def find_certificates() -> str | None:
    """Return the file of trusted certificates that the environment names; None for the default.

    Without a file, the folder that `SSL_CERT_DIR` names.

    Raises:
        SetupError: It does not exist, or has no certificates.
    """
    name = next((name for name in VARIABLES if os.environ.get(name)), None)
    if name is None:
        folder = os.environ.get("SSL_CERT_DIR", "")
        return folder if folder and Path(folder).is_dir() else None
    path = os.environ[name]
    try:
        trust(path)
    except OSError as error:  # ssl.SSLError, too
        is_missing = not Path(path).exists()
        reason = "there is no such file" if is_missing else f"no certificates ({error.strerror})"
        raise SetupError(f"{name}={path}: {reason}. Fix: name a file in PEM format") from None
    return path


def trust(path: str) -> ssl.SSLContext:
    """Return a context for TLS that trusts the certificates of a file or folder alone.

    Raises:
        OSError: The file cannot be read, or has no certificates.
    """
    if Path(path).is_dir():
        return ssl.create_default_context(capath=path)
    return ssl.create_default_context(cafile=path)


@contextmanager
def certificates_for_requests() -> Iterator[None]:
    """Let the library `requests` trust the same certificates.

    Raises:
        SetupError: The file of trusted certificates cannot be used.
    """
    name = "REQUESTS_CA_BUNDLE"
    path = find_certificates()
    with set_variables({name: path} if path is not None and not os.environ.get(name) else {}):
        yield
