"""How an OpenAI-compatible server is reached: OpenAI itself, vLLM, Ollama, ..."""

from __future__ import annotations

import importlib.util
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import orjson

from raypipe.core.errors import SetupError
from raypipe.models.openai_errors import KEY, explain, translated
from raypipe.models.preflight import check
from raypipe.models.protocol import ModelError

_OPENAI = "https://api.openai.com/v1"
_CONNECT_S = 10.0
_NO_KEY = "none"
"""Sent where there is no key: many servers of one's own ask for none, but the client wants one."""


@dataclass(frozen=True)
class OpenAIServer:
    """Settings that every model of an OpenAI-compatible server has.

    The key stands in the environment variable OPENAI_API_KEY and nowhere else.

    Args:
        model_id: The model, as the server calls it.
        base_url: The server, with its /v1; None = OPENAI_BASE_URL, else OpenAI's own.
        read_timeout_s: Seconds without an answer after which a call is given up. It may be on
            the bill all the same, so it is long.

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
            parts = urlsplit(self.base_url)
            if parts.scheme not in ("http", "https") or not parts.netloc or "@" in parts.netloc:
                raise ValueError(
                    "base_url must be a URL such as http://localhost:8000/v1, without a password"
                )

    @property
    def name(self) -> str:
        """Name the model in documents and messages."""
        return f"openai/{self.model_id}"

    @property
    def base_model(self) -> str:
        """Return the model's id; there are no regions here."""
        return self.model_id

    @property
    def pool(self) -> str:
        """Name the quota that its calls draw on: one for each server and model.

        Of the settings alone, so that driver and workers call it the same.
        """
        return f"openai/{urlsplit(self.base_url or '').netloc or 'default'}/{self.model_id}"

    def client(self) -> Any:
        """Return the openai client of these settings: one a process, safe for threads.

        Raises:
            SetupError: The package openai is not installed.
        """
        url = self.base_url or os.environ.get("OPENAI_BASE_URL") or _OPENAI
        with _lock:  # two threads at once would make two
            return _client(url, os.environ.get(KEY) or _NO_KEY, self.read_timeout_s)

    def post(
        self, resource: str, body: Mapping[str, Any], texts: Sequence[str]
    ) -> Mapping[str, Any]:
        """Make one HTTP request; return the JSON object of its answer.

        Args:
            resource: `chat.completions` or `embeddings`.
            body: The body, without the model.
            texts: What of it must not come back in an exception.

        Raises:
            ModelError: There was no answer, or it is no JSON object.
            SetupError: The package openai is not installed.
        """
        client = self.client()
        import openai

        target = client
        for step in resource.split("."):
            target = getattr(target, step)
        named = {
            name: body[name] for name in ("messages", "input", "encoding_format") & body.keys()
        }
        rest = {name: value for name, value in body.items() if name not in named}
        try:
            raw = target.with_raw_response.create(model=self.model_id, **named, extra_body=rest)
            said = orjson.loads(raw.content)
        except openai.OpenAIError as error:
            # Not its cause: it holds the request.
            raise translated(error, texts, os.environ.get(KEY)) from None
        except orjson.JSONDecodeError:
            said = None
        if not isinstance(said, dict):
            raise ModelError.bad_response("the answer is no JSON object")
        return said

    def explain(self, error: ModelError) -> str:
        """Return one line: which model, where, what is wrong and the way out."""
        where = self.base_url or os.environ.get("OPENAI_BASE_URL") or _OPENAI
        place = urlsplit(where).hostname or ""
        return f"{self.model_id} at {place}: {explain(error, bool(os.environ.get(KEY)))}"

    def _check(self, call: Any) -> None:
        check(self.name, call, self.explain)


_lock = threading.Lock()


@lru_cache(maxsize=8)
def _client(base_url: str, key: str, read_timeout_s: float) -> Any:
    if importlib.util.find_spec("openai") is None:
        raise SetupError("this model needs the package openai: pip install 'raypipe[openai]'")
    import openai

    # One request a call: the client would send a generation that timed out, and may be paid, again.
    timeout = openai.Timeout(read_timeout_s, connect=_CONNECT_S)
    return openai.OpenAI(base_url=base_url, api_key=key, max_retries=0, timeout=timeout)
