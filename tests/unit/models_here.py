"""A model server for a test, and an environment in which every client finds it."""

from __future__ import annotations

import contextlib
import importlib.machinery
import os
import sys
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from raypipe.embedders import sentence_transformers
from raypipe.models import bedrock_client as aws
from raypipe.models import openai_client as openai_server
from raypipe.simulator.model_server import ModelServer
from raypipe.simulator.options import ServerOptions


def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away the settings of whoever runs the tests, and clients that were made with others."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "OPENAI_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    aws._client.cache_clear()
    openai_server._client.cache_clear()


def with_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give credentials that a server here takes, and no others."""
    alone(monkeypatch)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "simulated")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "simulated-secret")


@contextlib.contextmanager
def models_here(**options: Any) -> Iterator[ModelServer]:
    """Start a model server, and lead every client to it by the environment alone."""
    with pytest.MonkeyPatch.context() as patch, ModelServer(ServerOptions(**options)) as server:
        with_credentials(patch)
        patch.setenv("AWS_REGION", "us-east-1")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", server.url)
        patch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        yield server
    aws._client.cache_clear()
    openai_server._client.cache_clear()


class StandIn:
    """What sentence-transformers' SentenceTransformer does, without torch: it counts letters.

    Args:
        model: Its folder or name.
        options: As the real one takes them.
    """

    made: list[StandIn]
    whole = 384

    def __init__(self, model: str, **options: Any) -> None:
        if model == "nowhere/none":
            raise OSError("We couldn't connect to the hub\nmore lines")
        self.model, self.options = model, options
        self.made.append(self)

    def get_embedding_dimension(self) -> int:
        return self.whole

    def encode_query(self, texts: list[str], **options: Any) -> Any:
        return self._encode([f"query: {text}" for text in texts], **options)

    def encode_document(self, texts: list[str], **options: Any) -> Any:
        return self._encode(texts, **options)

    def _encode(
        self,
        texts: list[str],
        *,
        batch_size: int,
        convert_to_numpy: bool,
        show_progress_bar: bool,
        truncate_dim: int,
    ) -> Any:
        assert convert_to_numpy
        assert not show_progress_bar
        rows = [[text.count(chr(97 + at % 26)) for at in range(self.whole)] for text in texts]
        return np.array(rows, dtype=np.float32)[:, :truncate_dim]


@contextlib.contextmanager
def stand_in() -> Iterator[type[StandIn]]:
    """Put a stand-in where the package sentence-transformers would be."""
    module = types.ModuleType("sentence_transformers")
    module.__spec__ = importlib.machinery.ModuleSpec("sentence_transformers", None)
    made = type("Made", (StandIn,), {"made": []})
    module.SentenceTransformer = made  # type: ignore[attr-defined]
    sentence_transformers._load_model.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "sentence_transformers", module)
        patch.delenv("HF_HUB_OFFLINE", raising=False)
        yield made
    sentence_transformers._load_model.cache_clear()
