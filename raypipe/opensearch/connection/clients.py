"""Create the clients of this process: one for all connections with the same settings."""

from __future__ import annotations

import logging
import os
from collections import Counter
from typing import TYPE_CHECKING, Any

from raypipe.core.per_process import cached_per_process
from raypipe.opensearch.connection.auth import check_files, token_header
from raypipe.opensearch.connection.endpoint import host_options
from raypipe.opensearch.connection.transport import connection_class, serializer

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

    from raypipe.opensearch.connection.client import Connection

log = logging.getLogger(__name__)

_renewals: Counter[Connection] = Counter()
"""How often the credentials of a connection were read again in this process."""


def shared_client(connection: Connection) -> OpenSearch:
    """Return the client of a connection; it keeps its sockets open, and threads may share it.

    Raises:
        SetupError: The password or token is not set, or a certificate file does not exist.
    """
    return _create(connection, _environment_hash(connection), _renewals[connection])


def renew(connection: Connection) -> None:
    """Let the next request read the credentials again."""
    _renewals[connection] += 1


def _environment_hash(connection: Connection) -> int:
    """Return a number that changes when the environment names other credentials."""
    names = (connection.password_env, connection.token_env)
    items = os.environ.items()
    return hash(frozenset(item for item in items if item[0] in names or item[0][:4] == "AWS_"))


@cached_per_process(max_size=16)
def _create(connection: Connection, environment: int, renewals: int) -> OpenSearch:
    """Create a client; `environment` and `renewals` only tell one client from the next."""
    from opensearchpy import OpenSearch

    # opensearch-py logs failed requests with a traceback and with bodies, which hold books.
    # raypipe logs the failure itself, in one line. A level set by the user is kept.
    for name in ("opensearch", "opensearchpy.trace"):
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.ERROR)
    names = ("ca_certs", "client_cert", "client_key")
    check_files({name: getattr(connection, name) for name in names})
    host = host_options(connection.endpoint)
    is_secure = host["use_ssl"]
    if is_secure and not connection.verify_certs:
        log.warning("%s: its certificate is not verified (verify_certs=false)", connection.endpoint)
    return OpenSearch(
        hosts=[host],
        http_auth=connection.http_auth(),
        headers=token_header(connection.token, connection.token_env, connection.token_file),
        timeout=connection.timeout_s,
        pool_maxsize=connection.threads,
        # opensearch-py's retries neither wait nor read items; raypipe has its own loops.
        max_retries=0,
        retry_on_timeout=False,
        serializer=serializer(),
        connection_class=connection_class(),
        **(_tls_options(connection) if is_secure else {}),
    )


def _tls_options(connection: Connection) -> dict[str, Any]:
    return {
        "verify_certs": connection.verify_certs,
        "ca_certs": connection.ca_certs,
        "client_cert": connection.client_cert,
        "client_key": connection.client_key,
        "ssl_assert_hostname": None if connection.verify_certs else False,
        "ssl_show_warn": False,
    }
