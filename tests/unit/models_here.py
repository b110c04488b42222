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
from raypipe.models import bedrock_client, openai_client
from raypipe.simulator.model_server import ModelServer
from raypipe.simulator.options import ServerOptions


def clear_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the user's own settings, and clients that were created with other settings."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "OPENAI_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    _forget_clients()


def _forget_clients() -> None:
    bedrock_client._create_client.cache_clear()
    openai_client._create_client.cache_clear()


def set_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set credentials that the simulated server accepts, and no others."""
    clear_environment(monkeypatch)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "simulated")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "simulated-secret")


@contextlib.contextmanager
def model_server(**options: Any) -> Iterator[ModelServer]:
    """Start a model server, and lead every client to it by environment variables only."""
    with pytest.MonkeyPatch.context() as patch, ModelServer(ServerOptions(**options)) as server:
        set_credentials(patch)
        patch.setenv("AWS_REGION", "us-east-1")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", server.url)
        patch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
        yield server
    _forget_clients()


class FakeSentenceTransformer:
    """Stands in for SentenceTransformer, without torch: its vectors count letters.

    Args:
        model: Folder or name of the model.
        options: The options of SentenceTransformer.
    """

    created: list[FakeSentenceTransformer]
    full_dimension = 384

    def __init__(self, model: str, **options: Any) -> None:
        if model == "nowhere/none":
            raise OSError("We couldn't connect to the hub\nmore lines")
        self.model, self.options = model, options
        self.created.append(self)

    def get_embedding_dimension(self) -> int:
        return self.full_dimension

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
        rows = [
            [text.count(chr(97 + number % 26)) for number in range(self.full_dimension)]
            for text in texts
        ]
        return np.array(rows, dtype=np.float32)[:, :truncate_dim]


@contextlib.contextmanager
def fake_sentence_transformers() -> Iterator[type[FakeSentenceTransformer]]:
    """Replace the package sentence-transformers; yield the class that stands in."""
    module = types.ModuleType("sentence_transformers")
    module.__spec__ = importlib.machinery.ModuleSpec("sentence_transformers", None)
    fake = type("Fake", (FakeSentenceTransformer,), {"created": []})
    module.SentenceTransformer = fake  # type: ignore[attr-defined]
    sentence_transformers._load_model.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "sentence_transformers", module)
        patch.delenv("HF_HUB_OFFLINE", raising=False)
        yield fake
    sentence_transformers._load_model.cache_clear()
