"""Amazon Nova Multimodal Embeddings on Bedrock, for texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raypipe.embedders.vectors import check_dimension, only, vectors_of
from raypipe.models.bedrock_client import BedrockModel
from raypipe.models.protocol import InputType, Vectors

_DIMENSIONS = (256, 384, 1024, 3072)
_PURPOSES: Mapping[InputType, str] = {"document": "GENERIC_INDEX", "query": "TEXT_RETRIEVAL"}


@dataclass(frozen=True)
class NovaEmbedding(BedrockModel):
    """Nova 2: one text a call, up to 8,192 tokens, of which it cuts the end off by itself.

    Args:
        dimension: Length of its vectors: 256, 384, 1024 or 3072.

    Raises:
        ValueError: A setting is out of its range.
    """

    model_id: str = "amazon.nova-2-multimodal-embeddings-v1:0"
    dimension: int = 1024

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        check_dimension(self.dimension, _DIMENSIONS)

    @property
    def max_texts(self) -> int:
        """Most texts of one call."""
        return 1

    @property
    def max_chars(self) -> int:
        """Most characters of one text that may stand in the request itself."""
        return 8_192

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
        return {
            "taskType": "SINGLE_EMBEDDING",
            "singleEmbeddingParams": {
                "embeddingPurpose": _PURPOSES[input_type],
                "embeddingDimension": self.dimension,
                "text": {"truncationMode": "END", "value": only(texts)},
            },
        }

    def call(self, texts: Sequence[str], input_type: InputType) -> Vectors:
        """Make one HTTP request; safe for many threads.

        Raises:
            ModelError: There was no answer.
        """
        said, usage = self.invoke(self.body(texts, input_type), texts)
        rows = said.get("embeddings")
        if not isinstance(rows, list) or not all(isinstance(one, Mapping) for one in rows):
            rows = []
        return vectors_of([one.get("embedding") for one in rows], (1, self.dimension), usage)
