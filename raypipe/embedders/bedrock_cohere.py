"""Cohere Embed v3 and v4 on Bedrock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raypipe.embedders.vectors import check_dimension, vectors_of
from raypipe.models.bedrock_client import BedrockModel
from raypipe.models.protocol import InputType, Vectors

_DIMENSIONS_V3, _DIMENSIONS_V4 = (1024,), (256, 512, 1024, 1536)
_TYPES: Mapping[InputType, str] = {"document": "search_document", "query": "search_query"}


@dataclass(frozen=True)
class CohereEmbedding(BedrockModel):
    """Cohere Embed: up to 96 texts a call; documents and queries are embedded differently.

    Args:
        model_id: `cohere.embed-v4:0`, `cohere.embed-english-v3`, `cohere.embed-multilingual-v3`,
            or an inference profile of one.
        dimension: Length of its vectors: 256, 512, 1024 or 1536; of v3 1024 alone.

    Raises:
        ValueError: A setting is out of its range.
    """

    model_id: str = "cohere.embed-v4:0"
    dimension: int = 1024

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        if not self._newest and "-v3" not in self.base_model:
            raise ValueError(
                f"model_id={self.model_id} must name a Cohere Embed model, v3 or v4: their bodies "
                "differ, and this does not tell which"
            )
        check_dimension(self.dimension, _DIMENSIONS_V4 if self._newest else _DIMENSIONS_V3)

    @property
    def _newest(self) -> bool:
        return "-v4" in self.base_model

    @property
    def max_texts(self) -> int:
        """Most texts of one call."""
        return 96

    @property
    def max_chars(self) -> int:
        """Most characters of one text; v4 reads 128,000 tokens, more than a summary ever has."""
        return 24_000 if self._newest else 2_048

    def identity(self) -> Mapping[str, Any]:
        """Return what changes its vectors."""
        return {"model": self.base_model, "dimension": self.dimension, "normalize": "l2"}

    def check(self) -> None:
        """Embed a word.

        Raises:
            SetupError: No call could succeed: credentials, region, access, model.
        """
        self._check(lambda: self.call(["ready"], "document"))

    def body(self, texts: Sequence[str], input_type: InputType) -> Mapping[str, Any]:
        """Return the exact request body as plain JSON values."""
        said = {
            "texts": list(texts),
            "input_type": _TYPES[input_type],
            "embedding_types": ["float"],
        }
        if self._newest:  # the two versions call the same end differently
            return {**said, "truncate": "RIGHT", "output_dimension": self.dimension}
        return {**said, "truncate": "END"}

    def call(self, texts: Sequence[str], input_type: InputType) -> Vectors:
        """Make one HTTP request; safe for many threads.

        Raises:
            ModelError: There was no answer.
        """
        said, usage = self.invoke(self.body(texts, input_type), texts)
        rows = said.get("embeddings")
        if isinstance(rows, Mapping):  # by type
            rows = rows.get("float")
        return vectors_of(rows, (len(texts), self.dimension), usage)
