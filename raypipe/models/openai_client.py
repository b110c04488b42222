"""The connection to an OpenAI-compatible server: OpenAI, vLLM, Ollama, ..."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from raypipe.core.certificates import find_certificates, trust
from raypipe.core.per_process import cached_per_process
from raypipe.core.proxy import proxy_for
from raypipe.core.redact import refuse_url_secret
from raypipe.core.setup_check import check_package
from raypipe.models.json_object import parse_json_object
from raypipe.models.openai_errors import API_KEY_VARIABLE, explain_error, to_model_error
from raypipe.models.preflight import check_model
from raypipe.models.protocol import ModelError

_OPENAI = "https://api.openai.com/v1"
_CONNECT_S = 10.0
_NO_KEY = "none"
"""Sent if there is no key: self-hosted servers often need none, but the client requires one."""


@dataclass(frozen=True)
class OpenAIServer:
    """Settings of every model of an OpenAI-compatible server.

    The API key is read from the environment variable OPENAI_API_KEY only.

    Args:
        model_id: Name of the model on the server.
        base_url: URL of the server, ending with /v1; None for OPENAI_BASE_URL, else OpenAI.
        read_timeout_s: Seconds to wait for an answer. Long, because a call that is given up may
            be billed nevertheless.

    Raises:
        ValueError: A setting is out of its range.
    """

    model_id: str
    base_url: str | None = None
    read_timeout_s: float = 300.0

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
    def pool(self) -> str:
        """Return the name of the quota: one for each server and model.

        Built from the settings alone, so that driver and workers use the same name.
        """
        return f"openai/{urlsplit(self.base_url or '').netloc or 'default'}/{self.model_id}"

    def client(self) -> Any:
        """Return the openai client of these settings: one per process, thread-safe.

        Raises:
            SetupError: The package openai is not installed, or the proxy or the certificates of the
                environment cannot be used.
        """
        key = os.environ.get(API_KEY_VARIABLE) or _NO_KEY
        return _create_client(self._url, key, self.read_timeout_s)

    @property
    def _url(self) -> str:
        return self.base_url or os.environ.get("OPENAI_BASE_URL") or _OPENAI

    def post(
        self, resource: str, body: Mapping[str, Any], texts: Sequence[str]
    ) -> Mapping[str, Any]:
        """Make one HTTP request; return the JSON object of the response.

        Args:
            resource: `chat.completions` or `embeddings`.
            body: The request body, without the model.
            texts: Texts of the body; error messages must not quote them.

        Raises:
            ModelError: There is no answer, or it is not a JSON object.
            SetupError: The package openai is not installed.
        """
        endpoint = self.client()
        import openai

        for name in resource.split("."):
            endpoint = getattr(endpoint, name)
        typed = {
            name: body[name] for name in ("messages", "input", "encoding_format") & body.keys()
        }
        extra_body = {name: value for name, value in body.items() if name not in typed}
        try:
            raw = endpoint.with_raw_response.create(
                model=self.model_id, **typed, extra_body=extra_body
            )
            content = raw.content
        except openai.OpenAIError as error:
            # Not chained: the openai package's exceptions hold the request.
            raise to_model_error(error, texts, os.environ.get(API_KEY_VARIABLE)) from None
        except Exception as error:  # of its parsers, for an answer of another shape
            message = f"the answer is unreadable ({type(error).__name__})"
            raise ModelError.bad_response(message) from None
        return parse_json_object(content)

    def get_models(self) -> None:
        """Make the request GET /models.

        Raises:
            ModelError: There is no answer, or it is an error.
            SetupError: The package openai is not installed.
        """
        models = self.client().models
        import openai

        try:
            models.with_raw_response.list()
        except openai.OpenAIError as error:
            raise to_model_error(error, (), os.environ.get(API_KEY_VARIABLE)) from None

    def explain(self, error: ModelError) -> str:
        """Return one line: model, server, error, and the way out."""
        host = urlsplit(self._url).hostname or ""
        has_key = bool(os.environ.get(API_KEY_VARIABLE))
        return f"{self.model_id} at {host}: {explain_error(error, has_key)}"

    def check_setup(self) -> None:
        """Raise `SetupError` if the package openai is not installed."""
        self.client()

    def check_with(self, call: Callable[[], object]) -> None:
        """Make a small call as the check before a run; see `preflight.check_model`.

        Raises:
            SetupError: No call could succeed.
        """
        check_model(self.name, call, self.explain)


@cached_per_process()
def _create_client(base_url: str, key: str, read_timeout_s: float) -> Any:
    check_package("openai", "this model needs the package openai: pip install 'raypipe[openai]'")
    import openai

    # One request per call. The client would repeat a generation that timed out but may be billed.
    timeout = openai.Timeout(read_timeout_s, connect=_CONNECT_S)
    proxy, certificates = proxy_for(base_url), find_certificates()
    http_client = openai.DefaultHttpxClient(
        proxy=proxy,
        trust_env=False,  # it would send requests for this machine to the proxy, too
        verify=trust(certificates) if certificates else True,
        timeout=timeout,
    )
    return openai.OpenAI(
        base_url=base_url, api_key=key, max_retries=0, timeout=timeout, http_client=http_client
    )
