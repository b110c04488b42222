"""Embedding models of any OpenAI-compatible server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raypipe.embedders.vectors import vectors_of
from raypipe.models.openai_client import OpenAIServer
from raypipe.models.protocol import InputType, ModelError, TokenUsage, Vectors

_WHOLE = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072}
"""OpenAI's models that shorten their vectors when asked, and how long they are else."""


@dataclass(frozen=True)
class OpenAIEmbedding(OpenAIServer):
    """An embedding model of OpenAI, vLLM, Ollama or another server that speaks as OpenAI does.

    Args:
        dimension: Length of its vectors: the model's own, or a shorter one that it can make.
        shorten: Whether the server is asked for this dimension; None = where it is known to
            understand that (OpenAI's text-embedding-3).
        batch: Most texts of one call.
        max_chars: Most characters of one text; three of them make a token at least. Longer
            texts are cut.
        document_prefix: Put before each document, where the model was trained so ("passage: ").
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
        whole = _WHOLE.get(self.model_id, self.dimension)
        if not 1 <= self.dimension <= whole:
            raise ValueError(f"dimension={self.dimension} must be between 1 and {whole}")
        if not 1 <= self.batch <= 2_048:
            raise ValueError(f"batch={self.batch} must be between 1 and 2048")
        if self.max_chars < 1:
            raise ValueError(f"max_chars={self.max_chars} must be at least 1")

    @property
    def max_texts(self) -> int:
        """Most texts of one call."""
        return self.batch

    def identity(self) -> Mapping[str, Any]:
        """Return what changes the vectors of documents."""
        said = {"model": self.base_model, "dimension": self.dimension, "normalize": "l2"}
        return {**said, "prefix": self.document_prefix} if self.document_prefix else said

    def check(self) -> None:
        """Embed a word.

        Raises:
            SetupError: No call could succeed: the package, the server, the key, the model.
        """
        self._check(lambda: self.call(["ready"], "document"))

    def body(self, texts: Sequence[str], input_type: InputType) -> Mapping[str, Any]:
        """Return the exact request body as plain JSON values, without the model."""
        prefix = self.document_prefix if input_type == "document" else self.query_prefix
        said: dict[str, Any] = {
            "input": [prefix + text for text in texts],
            "encoding_format": "float",
        }
        known = _WHOLE.get(self.model_id, self.dimension) != self.dimension
        if known if self.shorten is None else self.shorten:
            said["dimensions"] = self.dimension
        return said

    def call(self, texts: Sequence[str], input_type: InputType) -> Vectors:
        """Make one HTTP request; safe for many threads.

        Raises:
            ModelError: There was no answer.
        """
        said = self.post("embeddings", self.body(texts, input_type), texts)
        try:
            rows = sorted(said["data"], key=lambda one: int(one["index"]))
            usage = TokenUsage(input_tokens=said["usage"]["prompt_tokens"])
            vectors = [one["embedding"] for one in rows]
        except (KeyError, TypeError, ValueError):
            raise ModelError.bad_response("the answer holds no vectors with their usage") from None
        return vectors_of(vectors, (len(texts), self.dimension), usage)
