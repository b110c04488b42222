"""Amazon Titan Text Embeddings V2 on Bedrock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raypipe.embedders.vectors import check_dimension, only, vectors_of
from raypipe.models.bedrock_client import BedrockModel
from raypipe.models.protocol import InputType, Vectors

_DIMENSIONS = (256, 512, 1024)


@dataclass(frozen=True)
class TitanEmbedding(BedrockModel):
    """Titan V2: one text a call, up to 8,192 tokens; documents and queries alike.

    Args:
        dimension: Length of its vectors: 256, 512 or 1024.

    Raises:
        ValueError: A setting is out of its range.
    """

    model_id: str = "amazon.titan-embed-text-v2:0"
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
        """Most characters of one text: of 8,192 tokens, at three characters a token."""
        return 24_000

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
        return {"inputText": only(texts), "dimensions": self.dimension, "normalize": True}

    def call(self, texts: Sequence[str], input_type: InputType) -> Vectors:
        """Make one HTTP request; safe for many threads.

        Raises:
            ModelError: There was no answer.
        """
        said, usage = self.invoke(self.body(texts, input_type), texts)
        return vectors_of([said.get("embedding")], (1, self.dimension), usage)
