"""Amazon Nova Multimodal Embeddings on Bedrock, for texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raypipe.embedders.bedrock import BedrockEmbedding
from raypipe.embedders.vectors import single_text
from raypipe.models.protocol import InputType

_PURPOSES: Mapping[InputType, str] = {"document": "GENERIC_INDEX", "query": "TEXT_RETRIEVAL"}


@dataclass(frozen=True)
class NovaEmbedding(BedrockEmbedding):
    """Nova 2: one text per call, up to 8,192 tokens; the model truncates longer texts at the end.

    Args:
        model_id: Model id, inference profile or ARN.
        dimension: Length of the vectors: 256, 384, 1024 or 3072.

    Raises:
        ValueError: A setting is out of its range.
    """

    model_id: str = "amazon.nova-2-multimodal-embeddings-v1:0"

    @property
    def dimensions(self) -> Sequence[int]:
        """Return the vector lengths that the model supports."""
        return (256, 384, 1024, 3072)

    @property
    def max_texts(self) -> int:
        """Return the maximum number of texts per call."""
        return 1

    @property
    def max_chars(self) -> int:
        """Return the maximum number of characters of a text inside the request itself."""
        return 8_192

    def body(self, texts: Sequence[str], input_type: InputType) -> Mapping[str, Any]:
        """Return the request body as plain JSON values."""
        return {
            "taskType": "SINGLE_EMBEDDING",
            "singleEmbeddingParams": {
                "embeddingPurpose": _PURPOSES[input_type],
                "embeddingDimension": self.dimension,
                "text": {"truncationMode": "END", "value": single_text(texts)},
            },
        }

    def read_vectors(self, answer: Mapping[str, Any]) -> Any:
        """Return the vectors in an answer; an empty list if it has another shape."""
        items = answer.get("embeddings")
        if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
            return []
        return [item.get("embedding") for item in items]
