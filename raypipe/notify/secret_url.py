"""Post JSON to a URL that is a secret: it is read from the environment, and shown nowhere."""

from __future__ import annotations

import json
import logging
import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from raypipe import __version__
from raypipe.coordination.background_sender import SendError
from raypipe.core.certificates import find_certificates
from raypipe.core.errors import SetupError
from raypipe.core.proxy import proxy_for, proxy_manager

CONNECT_S = 3.0
READ_S = 5.0
_OK = range(200, 300)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LOGGERS = ("connectionpool", "connection", "poolmanager", "response", "util.retry", "util.ssl_")
"""Modules of urllib3 whose debug lines have the path of a URL, which is the secret."""

_sending = threading.local()


def check_variable(name: str) -> None:
    """Check that `url_env` is the name of a variable, and not the URL itself.

    Raises:
        ValueError: It is not; the message does not repeat it.
    """
    if not _VARIABLE.fullmatch(name):
        raise ValueError(
            "url_env must be the name of an environment variable, such as RAYPIPE_WEBHOOK_URL; the "
            "URL is a secret and belongs into the variable"
        )


def check_url(option: str, variable: str) -> None:
    """Check that a variable of the environment has a URL.

    Args:
        option: Option that needs it, for messages, e.g. `notify=slack`.
        variable: Name of the variable.

    Raises:
        SetupError: It has none; the message does not show the value.
    """
    if not os.environ.get(variable):
        raise SetupError(
            f"{option}: the environment variable {variable} is not set. Fix: put the URL of the "
            "receiver into it; the URL is a secret, so no option takes it"
        )
    if not _is_url(os.environ[variable]):
        raise SetupError(
            f"{option}: the environment variable {variable} has no URL. Fix: begin it with "
            "https:// and a host"
        )


def post_json(variable: str, body: Mapping[str, Any]) -> None:
    """Post an object as JSON. TLS is verified, and redirects are not followed.

    Args:
        variable: Variable of the environment with the URL.
        body: The object.

    Raises:
        SendError: The receiver did not take it; the text does not show the URL.
    """
    from urllib3 import PoolManager, Timeout
    from urllib3.exceptions import HTTPError

    url = os.environ.get(variable, "")
    if not _is_url(url):
        raise SendError(f"{variable} has no URL")
    headers = {"Content-Type": "application/json", "User-Agent": f"raypipe/{__version__}"}
    timeout = Timeout(connect=CONNECT_S, read=READ_S)
    options: dict[str, Any] = {"timeout": timeout, "retries": False}
    with _without_log_lines():
        try:
            proxy = proxy_for(url)
            options |= _trusted()
            manager = proxy_manager(proxy, **options) if proxy else PoolManager(**options)
            with manager:
                response = manager.request(
                    "POST",
                    url,
                    body=json.dumps(body).encode(),
                    headers=headers,
                    redirect=False,
                    preload_content=False,
                )
                response.close()
        except SetupError:  # it names the host
            raise SendError("the proxy or the certificates of the environment fail") from None
        except (HTTPError, OSError, ValueError) as error:  # their texts have the URL
            raise SendError(_describe(error)) from None
    if response.status not in _OK:
        raise SendError(f"the receiver in {variable} answered with HTTP {response.status}")


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _trusted() -> dict[str, str]:
    path = find_certificates()
    if path is None:
        return {}
    return {"ca_cert_dir" if Path(path).is_dir() else "ca_certs": path}


def _describe(error: Exception) -> str:
    name = type(error).__name__
    known = {
        "ConnectTimeoutError": f"no connection within {CONNECT_S:g} s",
        "ReadTimeoutError": f"no answer within {READ_S:g} s",
        "NewConnectionError": "the receiver cannot be reached",
        "NameResolutionError": "the receiver's name cannot be resolved",
        "ProtocolError": "the receiver ended the connection without an answer of HTTP",
        "SSLError": "TLS fails: the receiver's certificate is not trusted, or it speaks no TLS",
        "ProxyError": "the proxy of the environment fails",
    }
    return known.get(name, name)


@contextmanager
def _without_log_lines() -> Iterator[None]:
    """Drop the lines that urllib3 logs in this thread."""
    for name in _LOGGERS:
        logging.getLogger(f"urllib3.{name}").addFilter(_is_shown)
    _sending.active = True
    try:
        yield
    finally:
        _sending.active = False


def _is_shown(record: logging.LogRecord) -> bool:
    return not getattr(_sending, "active", False)
