"""Create the clients of this process: one for all connections with the same settings."""

from __future__ import annotations

import logging
import os
from collections import Counter
from typing import TYPE_CHECKING, Any, Protocol

from raypipe.core.certificates import VARIABLES, find_certificates
from raypipe.core.per_process import cached_per_process
from raypipe.opensearch.connection.auth import check_files, token_header
from raypipe.opensearch.connection.endpoint import host_options
from raypipe.opensearch.connection.transport import connection_class, serializer

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

log = logging.getLogger(__name__)


class ClientSettings(Protocol):
    """Settings of a connection, as a client needs them; equal settings share a client."""

    @property
    def endpoint(self) -> str:
        """Return the URL of the server."""

    @property
    def password_env(self) -> str:
        """Return the name of the environment variable with the password."""

    @property
    def token(self) -> str | None:
        """Return the kind of token to send; None for no token."""

    @property
    def token_env(self) -> str:
        """Return the name of the environment variable with the token."""

    @property
    def token_file(self) -> str | None:
        """Return the file with the token."""

    @property
    def verify_certs(self) -> bool:
        """Return whether the server's certificate is checked."""

    @property
    def ca_certs(self) -> str | None:
        """Return the file with trusted certificates."""

    @property
    def client_cert(self) -> str | None:
        """Return the file with the client certificate."""

    @property
    def client_key(self) -> str | None:
        """Return the file with the key of the client certificate."""

    @property
    def timeout_s(self) -> float:
        """Return the seconds to wait for a response."""

    @property
    def threads(self) -> int:
        """Return the number of sockets that are kept open."""

    def http_auth(self) -> Any:
        """Return the credentials for opensearch-py; None to send none."""

    def __hash__(self) -> int: ...


_renewals: Counter[ClientSettings] = Counter()
"""How often the credentials of a connection were read again in this process."""


def shared_client(settings: ClientSettings) -> OpenSearch:
    """Return the client of a connection; it keeps its sockets open, and threads may share it.

    Raises:
        SetupError: The password or token is not set, or a certificate file does not exist.
    """
    return _create(settings, _environment_hash(settings), _renewals[settings])


def renew(settings: ClientSettings) -> None:
    """Let the next request read the credentials again."""
    _renewals[settings] += 1


def _environment_hash(settings: ClientSettings) -> int:
    """Return a number that changes when the environment names other credentials or proxies."""
    names = (settings.password_env, settings.token_env, *VARIABLES)
    return hash(
        frozenset(
            item
            for item in os.environ.items()
            if item[0] in names or item[0][:4] == "AWS_" or item[0].lower().endswith("_proxy")
        )
    )


@cached_per_process(max_size=16)
def _create(settings: ClientSettings, environment: int, renewals: int) -> OpenSearch:
    """Create a client; `environment` and `renewals` only tell one client from the next."""
    from opensearchpy import OpenSearch

    # opensearch-py logs failed requests with a traceback and with bodies, which hold books.
    # raypipe logs the failure itself, in one line. A level set by the user is kept.
    for name in ("opensearch", "opensearchpy.trace"):
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.ERROR)
    names = ("ca_certs", "client_cert", "client_key")
    check_files({name: getattr(settings, name) for name in names})
    host = host_options(settings.endpoint)
    is_secure = host["use_ssl"]
    if is_secure and not settings.verify_certs:
        log.warning("%s: its certificate is not verified (verify_certs=false)", settings.endpoint)
    return OpenSearch(
        hosts=[host],
        http_auth=settings.http_auth(),
        headers=token_header(settings.token, settings.token_env, settings.token_file),
        timeout=settings.timeout_s,
        pool_maxsize=settings.threads,
        # opensearch-py's retries neither wait nor read items; raypipe has its own loops.
        max_retries=0,
        retry_on_timeout=False,
        serializer=serializer(),
        connection_class=connection_class(),
        **(_tls_options(settings) if is_secure else {}),
    )


def _tls_options(settings: ClientSettings) -> dict[str, Any]:
    return {
        "verify_certs": settings.verify_certs,
        "ca_certs": settings.ca_certs or find_certificates(),
        "client_cert": settings.client_cert,
        "client_key": settings.client_key,
        "ssl_assert_hostname": None if settings.verify_certs else False,
        "ssl_show_warn": False,
    }
