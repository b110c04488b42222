"""Amazon Titan Text Embeddings V2 on Bedrock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raypipe.embedders.bedrock import BedrockEmbedding
from raypipe.embedders.vectors import single_text
from raypipe.models.protocol import InputType


@dataclass(frozen=True)
class TitanEmbedding(BedrockEmbedding):
    """Titan V2: one text per call, up to 8,192 tokens; documents and queries are embedded alike.

    Args:
        model_id: Model id, inference profile or ARN.
        dimension: Length of the vectors: 256, 512 or 1024.

    Raises:
        ValueError: A setting is out of its range.
    """

    model_id: str = "amazon.titan-embed-text-v2:0"

    @property
    def dimensions(self) -> Sequence[int]:
        """Return the vector lengths that the model supports."""
        return (256, 512, 1024)

    @property
    def max_texts(self) -> int:
        """Return the maximum number of texts per call."""
        return 1

    @property
    def max_chars(self) -> int:
        """Return the maximum number of characters per text: 8,192 tokens of about 3 characters."""
        return 24_000

    def body(self, texts: Sequence[str], input_type: InputType) -> Mapping[str, Any]:
        """Return the request body as plain JSON values."""
        return {"inputText": single_text(texts), "dimensions": self.dimension, "normalize": True}

    def read_vectors(self, answer: Mapping[str, Any]) -> Any:
        """Return the vector in an answer, as a list of one."""
        return [answer.get("embedding")]
