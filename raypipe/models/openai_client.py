"""The connection to an OpenAI-compatible server: OpenAI, vLLM, Ollama, ..."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from raypipe import __version__
from raypipe.core.certificates import find_certificates, trust
from raypipe.core.per_process import cached_per_process
from raypipe.core.proxy import proxy_for, proxy_manager
from raypipe.core.redact import refuse_url_secret
from raypipe.models.context import Billing
from raypipe.models.json_object import parse_json_object
from raypipe.models.openai_errors import (
    API_KEY_VARIABLE,
    connection_error,
    explain_error,
    status_error,
)
from raypipe.models.preflight import check_model
from raypipe.models.protocol import ModelError

_OPENAI = "https://api.openai.com/v1"
_CONNECT_S = 10.0
_LOOPBACK = ("127.0.0.1", "::1", "0.0.0.0")  # noqa: S104 - names of this machine
_PORTS = {"http": 80, "https": 443}
_NO_KEY = "none"
"""Sent if there is no key: self-hosted servers need none, but some require the header."""
_MAX_CONNECTIONS = 512
"""Connections that stay open; more calls are in flight in no process."""
_HEADERS = (("OpenAI-Organization", "OPENAI_ORG_ID"), ("OpenAI-Project", "OPENAI_PROJECT_ID"))
"""Headers of OpenAI's own clients, and the environment variables with their values."""


@dataclass(frozen=True)
class OpenAIServer:
    """Settings of every model of an OpenAI-compatible server.

    The API key is read from the environment variable OPENAI_API_KEY only.

    Args:
        model_id: Name of the model on the server.
        base_url: URL of the server, ending with /v1; None for OPENAI_BASE_URL, else OpenAI.
        read_timeout_s: Seconds to wait for an answer. Long, because a call that is given up may
            be billed nevertheless.
        cache_name: Name of the server in the answer cache. Servers with the same name share their
            answers; '' shares with all. None for host, port and path of the URL: two servers may
            run different models under one id, such as two quantizations. It changes neither
            `identity` nor `body`.

    Raises:
        ValueError: A setting is out of its range.
    """

    model_id: str
    base_url: str | None = None
    read_timeout_s: float = 300.0
    cache_name: str | None = None

    def __post_init__(self) -> None:
        """Check the settings."""
        if not self.model_id:
            raise ValueError("model_id must name a model")
        if self.read_timeout_s <= 0:
            raise ValueError(f"read_timeout_s={self.read_timeout_s} must be more than 0")
        if self.base_url is not None:
            refuse_url_secret(
                "base_url", self.base_url, f"put the key into the variable {API_KEY_VARIABLE}"
            )
            parts = urlsplit(self.base_url)
            if parts.scheme not in ("http", "https") or not parts.netloc:
                raise ValueError("base_url must be a URL such as http://localhost:8000/v1")

    @property
    def name(self) -> str:
        """Return the name for documents and messages."""
        return f"openai/{self.model_id}"

    @property
    def base_model(self) -> str:
        """Return the model id; these servers have no regions."""
        return self.model_id

    @property
    def tier(self) -> str:
        """Return the service tier that its calls request."""
        return "default"

    @property
    def billing(self) -> Billing:
        """Return how its calls are billed."""
        return Billing(self.base_model, self.tier)

    @property
    def pool(self) -> str:
        """Return the name of the quota: one for each server and model.

        Built from the settings alone, so that driver and workers use the same name.
        """
        return f"openai/{urlsplit(self.base_url or '').netloc or 'default'}/{self.model_id}"

    @property
    def cache_server(self) -> str:
        """Return the name of the server in the answer cache; '' for OpenAI itself."""
        return _name_server(self._url) if self.cache_name is None else self.cache_name

    @property
    def _url(self) -> str:
        return self.base_url or os.environ.get("OPENAI_BASE_URL") or _OPENAI

    def client(self) -> Any:
        """Return the connections to the server: one pool per process, thread-safe.

        Raises:
            SetupError: The proxy or the certificates of the environment cannot be used.
        """
        key = os.environ.get(API_KEY_VARIABLE, "")
        return _create_client(self._url, key, self.read_timeout_s)

    def post(
        self, resource: str, body: Mapping[str, Any], texts: Sequence[str]
    ) -> Mapping[str, Any]:
        """Make one HTTP request; return the JSON object of the response.

        Args:
            resource: `chat/completions` or `embeddings`.
            body: The request body, without the model.
            texts: Texts of the body; error messages must not quote them.

        Raises:
            ModelError: There is no answer, or it is not a JSON object.
            SetupError: The proxy or the certificates of the environment cannot be used.
        """
        encoded = _encode({"model": self.model_id, **body})
        return parse_json_object(self._request("POST", resource, encoded, texts))

    def get_models(self) -> None:
        """Make the request GET /models.

        Raises:
            ModelError: There is no answer, or it is an error.
            SetupError: The proxy or the certificates of the environment cannot be used.
        """
        self._request("GET", "models")

    def _request(
        self, method: str, resource: str, body: bytes | None = None, texts: Sequence[str] = ()
    ) -> bytes:
        from urllib3.exceptions import HTTPError

        key = os.environ.get(API_KEY_VARIABLE, "")
        try:
            response = self.client().urlopen(
                method,
                f"{self._url.rstrip('/')}/{resource}",
                body=body,
                retries=False,  # a call that fails may be billed
                redirect=False,
            )
        except HTTPError as error:
            raise connection_error(error) from None
        if response.status >= 300:
            raise status_error(response.status, response.headers, response.data, texts, key)
        content: bytes = response.data
        return content

    def explain(self, error: ModelError) -> str:
        """Return one line: model, server, error, and the way out."""
        host = urlsplit(self._url).hostname or ""
        has_key = bool(os.environ.get(API_KEY_VARIABLE))
        return f"{self.model_id} at {host}: {explain_error(error, has_key)}"

    def check_setup(self) -> None:
        """Raise `SetupError` if the environment's proxy or certificates cannot be used."""
        self.client()

    def check_with(self, call: Callable[[], object]) -> None:
        """Make a small call as the check before a run; see `preflight.check_model`.

        Raises:
            SetupError: No call could succeed.
        """
        check_model(self.name, call, self.explain)


def _name_server(url: str) -> str:
    """Return host, port and path of a server, without /v1; '' for OpenAI's."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    if host == urlsplit(_OPENAI).hostname:
        return ""
    host = "localhost" if host in _LOOPBACK else host
    port = f":{parts.port}" if parts.port not in (None, _PORTS.get(parts.scheme)) else ""
    return f"{host}{port}{parts.path.rstrip('/').removesuffix('/v1')}"


@cached_per_process()
def _create_client(url: str, key: str, read_timeout_s: float) -> Any:
    """Return the connections to a server: a `urllib3.PoolManager`, thread-safe."""
    import certifi
    import urllib3

    headers = {name: value for name, variable in _HEADERS if (value := os.environ.get(variable))}
    headers |= {"Content-Type": "application/json", "User-Agent": f"raypipe/{__version__}"}
    headers["Authorization"] = f"Bearer {key or _NO_KEY}"
    options: dict[str, Any] = {
        "headers": headers,
        "maxsize": _MAX_CONNECTIONS,
        "num_pools": 1,
        "ssl_context": trust(find_certificates() or certifi.where()),
        "timeout": urllib3.Timeout(connect=_CONNECT_S, read=read_timeout_s),
    }
    proxy = proxy_for(url)
    return proxy_manager(proxy, **options) if proxy else urllib3.PoolManager(**options)


def _encode(body: Mapping[str, Any]) -> bytes:
    # Half a surrogate pair becomes a question mark, since it has no UTF-8.
    return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
