"""Cohere Embed v3 and v4 on Bedrock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raypipe.embedders.bedrock import BedrockEmbedding
from raypipe.models.protocol import InputType

_INPUT_TYPES: Mapping[InputType, str] = {"document": "search_document", "query": "search_query"}


@dataclass(frozen=True)
class CohereEmbedding(BedrockEmbedding):
    """Cohere Embed: up to 96 texts per call; documents and queries are embedded differently.

    Args:
        model_id: `cohere.embed-v4:0`, `cohere.embed-english-v3`, `cohere.embed-multilingual-v3`,
            or an inference profile of one of them.
        dimension: Length of the vectors: 256, 512, 1024 or 1536 for v4; 1024 for v3.

    Raises:
        ValueError: A setting is out of its range.
    """

    model_id: str = "cohere.embed-v4:0"

    def __post_init__(self) -> None:
        """Check the settings."""
        if not self._is_v4 and "-v3" not in self.base_model:
            raise ValueError(
                f"model_id={self.model_id} must name a Cohere Embed model, v3 or v4: their request "
                "bodies differ, and this id does not tell the version"
            )
        super().__post_init__()

    @property
    def _is_v4(self) -> bool:
        return "-v4" in self.base_model

    @property
    def dimensions(self) -> Sequence[int]:
        """Return the vector lengths that the model supports."""
        return (256, 512, 1024, 1536) if self._is_v4 else (1024,)

    @property
    def max_texts(self) -> int:
        """Return the maximum number of texts per call."""
        return 96

    @property
    def max_chars(self) -> int:
        """Return the maximum number of characters per text.

        v4 reads 128,000 tokens, more than any summary has.
        """
        return 24_000 if self._is_v4 else 2_048

    def body(self, texts: Sequence[str], input_type: InputType) -> Mapping[str, Any]:
        """Return the request body as plain JSON values."""
        body = {
            "texts": list(texts),
            "input_type": _INPUT_TYPES[input_type],
            "embedding_types": ["float"],
        }
        if self._is_v4:  # both truncate at the end, but the two versions name it differently
            return {**body, "truncate": "RIGHT", "output_dimension": self.dimension}
        return {**body, "truncate": "END"}

    def read_vectors(self, answer: Mapping[str, Any]) -> Any:
        """Return the vectors in an answer: a list, or a mapping by embedding type."""
        rows = answer.get("embeddings")
        return rows.get("float") if isinstance(rows, Mapping) else rows
