"""The way to an OpenSearch server: settings that pickle, and a client made on first use."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from raypipe.core.errors import SetupError
from raypipe.core.net import is_loopback
from raypipe.core.retry import TRANSIENT_STATUS, full_jitter
from raypipe.opensearch.bulk.error_policy import away, dropped, reason_of
from raypipe.opensearch.connection.auth import SCHEMES, check_files, password, token_header
from raypipe.opensearch.connection.transport import connection_class, serializer

if TYPE_CHECKING:
    from opensearchpy import OpenSearch

log = logging.getLogger(__name__)

SETUP_TRIES = 5
"""Tries of a request that is not a bulk, while the server answers that it is busy."""
RESTART_S = 90.0
"""A server that has answered before is waited for so long: a node that is restarted takes 10 to
40 s until it answers again, and what is asked last would otherwise be lost with a whole run."""


@dataclass(frozen=True)
class Connection:
    """Where the server is and how to be let in; made on the driver, used on workers.

    Args:
        endpoint: URL with scheme and host; the port is 443 for https, else 9200 if not given.
        username: User name; None = no authentication.
        password_env: *Name* of the environment variable that holds the password. The password
            itself is never a setting, so it is in no config, pickle, log or exception.
        token: `bearer` or `api_key`: a token instead of user name and password; None = none.
        token_env: *Name* of the environment variable that holds it.
        token_file: A file that holds it instead; read again when the server refuses it.
        verify_certs: Whether the server's certificate must be trusted and name its host.
        ca_certs: File of certificates to trust; None = the system's.
        client_cert: File with the certificate that this client shows; None = none.
        client_key: File with its key; None = in the same file.
        timeout_s: Seconds to wait for one answer. opensearch-py's own 10 s are too few for
            bulks of vectors (k-NN issue 1938 shows 43 s at p99.99).
        compress: gzip for what is sent; None = yes, except to this machine.
        threads: Connections kept open; at least the threads that use them at once.

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
    _client: OpenSearch | None = field(default=None, init=False, repr=False, compare=False)
    _met: bool = field(default=False, init=False, repr=False, compare=False)  # it answered once

    def __post_init__(self) -> None:
        """Check the settings."""
        parts = _split(self.endpoint)
        if parts.username or parts.password:
            raise ValueError(
                f"endpoint holds a user name or password; give {parts.scheme}://{parts.hostname} "
                f"with connection.username, and the password in the variable {self.password_env}"
            )
        if self.token is not None and self.token not in SCHEMES:
            raise ValueError(f"connection.token={self.token}: choose one of {', '.join(SCHEMES)}")
        if self.token and self.username:
            raise ValueError("give connection.username or connection.token, not both")
        if self.client_key and not self.client_cert:
            raise ValueError("connection.client_key needs connection.client_cert")
        if self.timeout_s <= 0:
            raise ValueError(f"connection.timeout_s={self.timeout_s} must be more than 0")
        if self.threads < 1:
            raise ValueError(f"connection.threads={self.threads} must be at least 1")

    def __getstate__(self) -> dict[str, Any]:
        """Leave the client behind: its sockets and locks belong to this process."""
        state = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        return {**state, "_client": None}

    @property
    def gzip(self) -> bool:
        """Whether to compress: on this machine the CPU costs more than the bytes do."""
        return not self.loopback if self.compress is None else self.compress

    @property
    def serverless(self) -> bool:
        """Whether it leads to a collection that makes ids itself and has no refresh."""
        return False

    @property
    def loopback(self) -> bool:
        """Whether the endpoint is this very machine."""
        return is_loopback(_split(self.endpoint).hostname or "")

    @property
    def client(self) -> OpenSearch:
        """Return the client, made on first use in this process.

        Raises:
            SetupError: There is a user name but no password, or no such file of certificates.
        """
        if self._client is None:
            object.__setattr__(self, "_client", self._make())
        assert self._client is not None
        return self._client

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """Make one request, without any retry, and return the decoded answer.

        Raises:
            opensearchpy.exceptions.OpenSearchException: As opensearch-py raises it.
        """
        transport = self.client.transport
        copy = dict(params) if params else None  # the transport takes keys out of it
        return transport.perform_request(method, path, params=copy, body=body, headers=headers)

    def renew(self) -> None:
        """Make the client anew with the next request: credentials are read again."""
        object.__setattr__(self, "_client", None)

    def ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        ignore: tuple[int, ...] = (),
    ) -> Any:
        """Make one request of a command, trying again while the server says it is busy.

        So it does where an answer was cut off: what is asked can be asked twice. A server that
        answered before, and does not now, is waited for: it may be restarted.

        Args:
            method: HTTP method.
            path: Path below the endpoint.
            params: Query parameters.
            body: Anything that JSON can say; bytes are sent as they are.
            ignore: Statuses to return None for.

        Raises:
            SetupError: No usable answer: one line with the endpoint and the way out.
        """
        from opensearchpy.exceptions import OpenSearchException

        data = body if body is None or isinstance(body, bytes) else orjson.dumps(body)
        end = time.monotonic() + (RESTART_S if self._met else 0.0)
        for attempt in itertools.count(1):
            try:
                answer = self.send(method, path, params=params, body=data)
                object.__setattr__(self, "_met", True)
                return answer
            except OpenSearchException as error:
                status = getattr(error, "status_code", None)
                if status in ignore:
                    return None
                if status == 401 and attempt == 1:
                    self.renew()  # a token may have been renewed meanwhile
                    continue
                passes = status in _BUSY or dropped(error) or (self._met and away(error))
                if not passes or (attempt >= SETUP_TRIES and time.monotonic() > end):
                    raise self._explained(error, f"{method} {path}") from None
            time.sleep(full_jitter(attempt, cap=4.0))
        raise AssertionError("not reached")

    def info(self) -> dict[str, Any]:
        """Return what the server says of itself (`GET /`).

        Raises:
            SetupError: Nothing answers there, it lets us not in, or it is not OpenSearch.
        """
        answer = self.ask("GET", "/", ignore=(404,))
        if not isinstance(answer, dict) or "number" not in answer.get("version", {}):
            raise SetupError(f"{self.endpoint} answers, but not as OpenSearch does; {_WAY_OUT}")
        return answer

    def _make(self) -> OpenSearch:
        from opensearchpy import OpenSearch

        # They log failed requests with a traceback, and bodies, which hold books, to whoever
        # listens; what matters is said by us, in one line. A level set by a person stays.
        for name in ("opensearch", "opensearchpy.trace"):
            logger = logging.getLogger(name)
            if logger.level == logging.NOTSET:
                logger.setLevel(logging.ERROR)
        names = ("ca_certs", "client_cert", "client_key")
        check_files({name: getattr(self, name) for name in names})
        parts = _split(self.endpoint)
        secure = parts.scheme == "https"
        if secure and not self.verify_certs:
            log.warning("%s: its certificate is not checked (verify_certs=false)", self.endpoint)
        host = {"host": parts.hostname, "port": parts.port or (443 if secure else 9200)}
        return OpenSearch(
            hosts=[{**host, "use_ssl": secure, "url_prefix": parts.path.strip("/")}],
            http_auth=self._auth(),
            headers=token_header(self.token, self.token_env, self.token_file),
            timeout=self.timeout_s,
            pool_maxsize=self.threads,
            # Its retries don't wait and don't read items: the loops here are the only ones.
            max_retries=0,
            retry_on_timeout=False,
            serializer=serializer(),
            connection_class=connection_class(),
            **(_tls(self) if secure else {}),
        )

    def _auth(self) -> Any:
        if self.username is None:
            return None
        return self.username, password(self.username, self.password_env)

    def _refusal(self, status: int, error: Exception) -> str:
        if status == 401 and self.token:
            return f"it did not accept the token (401) of connection.token={self.token}"
        return REFUSALS[status]

    def _explained(self, error: Exception, request: str) -> SetupError:
        from opensearchpy.exceptions import ConnectionError as NoConnection
        from opensearchpy.exceptions import ConnectionTimeout, SSLError, TransportError

        where = f"OpenSearch at {self.endpoint}"
        if isinstance(error, SSLError):
            return SetupError(f"{where}: TLS failed ({_cause(error)}); {_TLS_WAY_OUT}")
        if isinstance(error, ConnectionTimeout):
            return SetupError(f"{where} gave no answer within {self.timeout_s:g} s; {_WAY_OUT}")
        if isinstance(error, NoConnection):
            return SetupError(f"{where} cannot be reached ({_cause(error)}); {_WAY_OUT}")
        if not isinstance(error, TransportError):
            return SetupError(f"{self.endpoint} answers, but not as OpenSearch does; {_WAY_OUT}")
        status, reason = error.status_code, reason_of(error)
        if status in REFUSALS:
            return SetupError(f"{where}: {self._refusal(status, error)}")
        if status in _BUSY:
            return SetupError(f"{where} stays unavailable (status {status}); try again later")
        hint = next((way for said, way in _HINTS.items() if said in reason), "")
        return SetupError(f"{where} refused {request} (status {status}): {reason}{hint}")


_BUSY = TRANSIENT_STATUS | {402}
"""402 is what Serverless answers while its capacity grows."""
_HINTS = {
    "[index.knn]": "; the k-NN plugin is missing there",
    "collection type": "; raypipe needs a collection of the type VECTORSEARCH",
}
_WAY_OUT = "give the right opensearch.endpoint, or start the server"
_TLS_WAY_OUT = (
    "give http:// in opensearch.endpoint if it has no TLS, opensearch.connection.ca_certs=<file> "
    "for a certificate of your own, client_cert=<file> if it asks for one, or "
    "opensearch.connection.verify_certs=false to trust any"
)
REFUSALS = {
    401: "it did not accept the user name and password (401); check "
    "opensearch.connection.username and the variable named by opensearch.connection.password_env",
    403: "the user may not do this (403); give it the right to create, read and write the index",
}


def _split(endpoint: str) -> Any:
    try:
        parts = urlsplit(endpoint)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except (ValueError, TypeError, AttributeError):
        usable = False
    if not usable:
        raise ValueError(f"endpoint={endpoint} is not a URL; give one like https://host:9200")
    return parts


def _tls(connection: Connection) -> dict[str, Any]:
    return {
        "verify_certs": connection.verify_certs,
        "ca_certs": connection.ca_certs,
        "client_cert": connection.client_cert,
        "client_key": connection.client_key,
        "ssl_assert_hostname": None if connection.verify_certs else False,
        "ssl_show_warn": False,
    }


def _cause(error: Exception) -> str:
    """Return the innermost reason in a few words, e.g. `Connection refused`."""
    inner: Any = getattr(error, "info", error)
    inner = getattr(inner, "reason", None) or inner
    text = str(inner).splitlines()[0] if str(inner) else type(inner).__name__
    return text.rsplit(": ", 1)[-1][:160]
