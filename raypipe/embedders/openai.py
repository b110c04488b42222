"""Embedding models of any OpenAI-compatible server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raypipe.embedders.vectors import decode_base64, parse_vectors
from raypipe.models.openai_client import OpenAIServer
from raypipe.models.protocol import InputType, ModelError, Vectors
from raypipe.models.token_counts import read_usage

_FULL_DIMENSIONS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072}
"""OpenAI's models that shorten their vectors on request, and the length of their full vectors."""


@dataclass(frozen=True)
class OpenAIEmbedding(OpenAIServer):
    """An embedding model of OpenAI, vLLM, Ollama or another OpenAI-compatible server.

    Args:
        dimension: Length of the vectors: the model's full length, or a shorter one it supports.
        shorten: Whether to send the dimension to the server. None to send it only to models that
            are known to accept it (OpenAI's text-embedding-3).
        batch: Maximum number of texts per call.
        max_chars: Maximum number of characters per text, at least three per token. Longer texts
            are truncated.
        document_prefix: Put before each document, if the model was trained with a prefix
            ("passage: ").
        query_prefix: Put before each query ("query: ").

    Raises:
        ValueError: A setting is out of its range.
    """

    model_id: str = "text-embedding-3-small"
    dimension: int = 1536
    shorten: bool | None = None
    batch: int = 64
    max_chars: int = 24_000
    document_prefix: str = ""
    query_prefix: str = ""

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        full = self._full_dimension
        if not 1 <= self.dimension <= full:
            raise ValueError(f"dimension={self.dimension} must be between 1 and {full}")
        if not 1 <= self.batch <= 2_048:
            raise ValueError(f"batch={self.batch} must be between 1 and 2048")
        if self.max_chars < 1:
            raise ValueError(f"max_chars={self.max_chars} must be at least 1")

    @property
    def _full_dimension(self) -> int:
        return _FULL_DIMENSIONS.get(self.model_id, self.dimension)

    @property
    def max_texts(self) -> int:
        """Return the maximum number of texts per call."""
        return self.batch

    def identity(self) -> Mapping[str, Any]:
        """Return the settings that change the vectors of documents."""
        identity = {"model": self.base_model, "dimension": self.dimension, "normalize": "l2"}
        return {**identity, "prefix": self.document_prefix} if self.document_prefix else identity

    def check(self) -> None:
        """Embed a word.

        Raises:
            SetupError: No call can succeed: wrong server, key or model.
        """
        self.check_with(lambda: self.call(["ready"], "document"))

    def body(self, texts: Sequence[str], input_type: InputType) -> Mapping[str, Any]:
        """Return the request body as plain JSON values, without the model."""
        prefix = self.document_prefix if input_type == "document" else self.query_prefix
        body: dict[str, Any] = {
            "input": [prefix + text for text in texts],
            "encoding_format": "float",
        }
        is_shortened = self._full_dimension != self.dimension
        if is_shortened if self.shorten is None else self.shorten:
            body["dimensions"] = self.dimension
        return body

    def call(self, texts: Sequence[str], input_type: InputType) -> Vectors:
        """Make one HTTP request and return a vector per text. Thread-safe.

        Raises:
            ModelError: There is no usable answer.
        """
        answer = self.post("embeddings", self.body(texts, input_type), texts)
        usage = read_usage(answer.get("usage"), self.name, "prompt_tokens")
        try:
            row_of = {item["index"]: decode_base64(item["embedding"]) for item in answer["data"]}
            rows = [row_of.pop(index) for index in range(len(texts))]
        except (KeyError, TypeError):
            rows = None
        if rows is None or row_of:
            message = f"the answer does not contain one vector for each of {len(texts)} texts"
            raise ModelError.bad_response(message, usage)
        return parse_vectors(rows, (len(texts), self.dimension), usage)
