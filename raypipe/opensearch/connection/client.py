"""Settings of a connection to an OpenSearch server, and its requests. Settings pickle."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import orjson

from raypipe.core.errors import SetupError
from raypipe.core.net import is_loopback
from raypipe.core.paths import expand_home
from raypipe.core.redact import refuse_url_secret
from raypipe.core.retry import attempts
from raypipe.opensearch.connection import clients
from raypipe.opensearch.connection.answers import parsing
from raypipe.opensearch.connection.auth import SCHEMES, read_password
from raypipe.opensearch.connection.endpoint import split_endpoint
from raypipe.opensearch.connection.errors import (
    aws_message,
    is_connection_cut,
    is_unreachable,
    reason_of,
    status_of,
)
from raypipe.opensearch.connection.failures import (
    ACCESS_REFUSALS,
    BUSY_STATUS,
    WRITE_INDEX_EXISTS,
    explain_failure,
)

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

log = logging.getLogger(__name__)

MAX_TRIES = 5
"""Attempts of a request that is not a bulk, while the server answers that it is busy."""
RESTART_S = 90.0
"""Seconds to wait for a server that has answered before: a restarted node takes 10 to 40 s until
it answers again, and the last requests of a run would otherwise lose the whole run."""
MAX_WAIT_S = 4.0
"""Longest wait between two attempts."""


@dataclass
class _History:
    """Whether the server has answered before; pickled with the connection.

    Args:
        has_answered: Whether it has.
        waits_for_restart: Whether a server that has answered before may take time to restart.
    """

    has_answered: bool = False
    waits_for_restart: bool = True

    @property
    def may_restart(self) -> bool:
        """Whether an unreachable server is asked again, because it may be restarting."""
        return self.has_answered and self.waits_for_restart


@dataclass(frozen=True)
class Connection:
    """Address and credentials of a server; created on the driver, used on workers.

    Args:
        endpoint: URL with scheme and host; the default port is 443 for https, else 9200.
        username: User name; None for no authentication.
        password_env: *Name* of the environment variable that holds the password. The password
            itself is never a setting, so it is in no config, pickle, log or exception.
        token: `bearer` or `api_key`, to send a token instead of user name and password; None for
            no token.
        token_env: *Name* of the environment variable that holds the token.
        token_file: File that holds the token instead; read again when the server refuses it.
        verify_certs: Whether the server's certificate must be trusted and match its host name.
        ca_certs: File of certificates to trust; None for the file that the environment names
            (see `raypipe.core.certificates`), else the system's.
        client_cert: File with the client certificate; None for no client certificate.
        client_key: File with the key of the client certificate; None if `client_cert` holds it.
        timeout_s: Seconds to wait for a response. opensearch-py's own 10 s are too few for
            bulks of vectors (k-NN issue 1938 shows 43 s at p99.99).
        compress: Whether to compress requests with gzip; None for all but loopback endpoints.
        threads: Connections kept open; at least the number of threads that use them at once.

    Raises:
        ValueError: A setting is out of its range.
    """

    endpoint: str
    username: str | None = None
    password_env: str = "OPENSEARCH_PASSWORD"  # noqa: S105 (a name, not a password)
    token: str | None = None
    token_env: str = "OPENSEARCH_TOKEN"  # noqa: S105 (a name, not a token)
    token_file: str | None = None
    verify_certs: bool = True
    ca_certs: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    timeout_s: float = 120.0
    compress: bool | None = None
    threads: int = 4
    _history: _History = field(default_factory=_History, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check the settings, and expand `~` in the names of files."""
        for name in ("token_file", "ca_certs", "client_cert", "client_key"):
            if file := getattr(self, name):
                object.__setattr__(self, name, str(expand_home(file, f"connection.{name}")))
        refuse_url_secret(
            "endpoint",
            self.endpoint,
            "set connection.username, and put the password into the environment variable "
            f"{self.password_env}",
        )
        split_endpoint(self.endpoint)
        if self.token is not None and self.token not in SCHEMES:
            raise ValueError(
                f"connection.token names how a token is sent: choose one of {', '.join(SCHEMES)}, "
                f"and put the token into the environment variable {self.token_env}"
            )
        if self.token and self.username:
            raise ValueError("set connection.username or connection.token, not both")
        if self.client_key and not self.client_cert:
            raise ValueError("connection.client_key needs connection.client_cert")
        if self.timeout_s <= 0:
            raise ValueError(f"connection.timeout_s={self.timeout_s} must be more than 0")
        if self.threads < 1:
            raise ValueError(f"connection.threads={self.threads} must be at least 1")

    @property
    def gzip(self) -> bool:
        """Whether to compress requests; on loopback the CPU time costs more than the bytes."""
        return not self.is_loopback if self.compress is None else self.compress

    @property
    def is_serverless(self) -> bool:
        """Whether the server is a Serverless collection, without client ids and refresh."""
        return False

    @property
    def is_loopback(self) -> bool:
        """Whether the endpoint is on this machine."""
        return is_loopback(split_endpoint(self.endpoint).hostname or "")

    @property
    def client(self) -> OpenSearch:
        """Return the client; all connections of a process with the same settings share it.

        Raises:
            SetupError: The password or token is not set, or a certificate file does not exist.
        """
        return clients.shared_client(self)

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Send one request without retries and return the decoded response.

        Raises:
            opensearchpy.exceptions.OpenSearchException: The request failed.
        """
        transport = self.client.transport
        copy = dict(params) if params else None  # the transport removes keys from it
        return transport.perform_request(method, path, params=copy, body=body, headers=headers)

    def without_restart_wait(self) -> Self:
        """Return a copy that reports an unreachable server at once, for a user who waits."""
        copy = replace(self)
        copy._history.waits_for_restart = False
        return copy

    def renew(self) -> None:
        """Create a new client for the next request, so that credentials are read again."""
        clients.renew(self)

    def ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        ignore: tuple[int, ...] = (),
    ) -> Any:
        """Send one idempotent request, with retries, and return the decoded response.

        Retries while the server is busy and after a cut connection. If the server has answered
        before, an unreachable server is retried for `RESTART_S`, because it may be restarting.

        Args:
            method: HTTP method.
            path: Path below the endpoint.
            params: Query parameters.
            body: Object to send as JSON; bytes are sent unchanged.
            ignore: Statuses to return None for.

        Raises:
            SetupError: No usable response; one line with the endpoint and the fix.
        """
        from opensearchpy.exceptions import OpenSearchException

        data = body if body is None or isinstance(body, bytes) else orjson.dumps(body)
        within_s = RESTART_S if self._history.may_restart else 0.0
        for attempt in attempts(tries=MAX_TRIES, within_s=within_s, cap=MAX_WAIT_S):
            may_renew = attempt.number == 1 and 401 not in ignore
            try:
                response = self._send_renewing(method, path, params, data, may_renew)
            except OpenSearchException as error:
                if status_of(error) in ignore:
                    return None
                if attempt.is_last or not self._is_transient(error):
                    raise self._explain(error, f"{method} {path}") from None
                continue
            self._history.has_answered = True
            return response
        raise AssertionError("the last attempt returns or raises")

    def info(self) -> dict[str, Any]:
        """Return the server's description of itself (`GET /`).

        Raises:
            SetupError: The server is unreachable, refuses access, or is not OpenSearch.
        """
        info = self.ask("GET", "/", ignore=(404,))
        with parsing(self, "GET /"):
            _ = info["version"]["number"]
            return {**info, "version": {**info["version"]}}

    def _send_renewing(
        self,
        method: str,
        path: str,
        params: Mapping[str, Any] | None,
        body: bytes | None,
        may_renew: bool,
    ) -> Any:
        """Send one request; after a 401, read the credentials again and send it once more."""
        from opensearchpy.exceptions import OpenSearchException

        try:
            return self.send(method, path, params=params, body=body)
        except OpenSearchException as error:
            if not may_renew or status_of(error) != 401:
                raise
            self.renew()  # a token may have been renewed meanwhile
        return self.send(method, path, params=params, body=body)

    def _is_transient(self, error: Exception) -> bool:
        if WRITE_INDEX_EXISTS in reason_of(error):
            return False  # OpenSearch answers 500; another run has created the alias
        is_restarting = self._history.may_restart and is_unreachable(error)
        return status_of(error) in BUSY_STATUS or is_connection_cut(error) or is_restarting

    def http_auth(self) -> Any:
        """Return the credentials for opensearch-py; None to send none.

        Raises:
            SetupError: The credentials are not set.
        """
        if self.username is None:
            return None
        return self.username, read_password(self.username, self.password_env)

    def _explain_refusal(self, status: int, error: Exception) -> str:
        if status == 401 and self.token:
            return f"it did not accept the token (401) of connection.token={self.token}"
        if aws_message(error):
            return (
                f"AWS refused the request ({status}); use opensearch=aws_managed for a domain, or "
                "opensearch=aws_serverless for a collection: they sign requests with your AWS "
                "credentials"
            )
        return ACCESS_REFUSALS[status]

    def _explain(self, error: Exception, request: str) -> SetupError:
        return explain_failure(
            error,
            request,
            endpoint=self.endpoint,
            timeout_s=self.timeout_s,
            explain_refusal=self._explain_refusal,
        )
