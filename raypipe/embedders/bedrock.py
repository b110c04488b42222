"""The common base of the embedding models on Amazon Bedrock."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raypipe.embedders.vectors import check_dimension, parse_vectors
from raypipe.models.bedrock_client import BedrockModel
from raypipe.models.protocol import InputType, Vectors


@dataclass(frozen=True)
class BedrockEmbedding(BedrockModel, ABC):
    """An `EmbeddingModel` on Bedrock; a subclass defines the request body and reads the answer.

    Args:
        dimension: Length of the vectors, one of `dimensions`.

    Raises:
        ValueError: A setting is out of its range.
    """

    dimension: int = 1024

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        check_dimension(self.dimension, self.dimensions)

    @property
    @abstractmethod
    def dimensions(self) -> Sequence[int]:
        """Return the vector lengths that the model supports."""

    @property
    @abstractmethod
    def max_texts(self) -> int:
        """Return the maximum number of texts per call."""

    @property
    @abstractmethod
    def max_chars(self) -> int:
        """Return the maximum number of characters per text; the caller truncates longer texts."""

    @abstractmethod
    def body(self, texts: Sequence[str], input_type: InputType) -> Mapping[str, Any]:
        """Return the request body as plain JSON values.

        Args:
            texts: Between 1 and `max_texts` texts.
            input_type: Whether the texts are indexed or searched with.
        """

    @abstractmethod
    def read_vectors(self, answer: Mapping[str, Any]) -> Any:
        """Return the list of vectors in an answer; another value if there is none."""

    def identity(self) -> Mapping[str, Any]:
        """Return the settings that change the vectors."""
        return {"model": self.base_model, "dimension": self.dimension, "normalize": "l2"}

    def check(self) -> None:
        """Embed a word.

        Raises:
            SetupError: No call can succeed: wrong credentials, region, access or model.
        """
        self.check_with(lambda: self.call(["ready"], "document"))

    def call(self, texts: Sequence[str], input_type: InputType) -> Vectors:
        """Make one HTTP request and return a vector per text. Thread-safe.

        Raises:
            ModelError: There is no usable answer.
        """
        answer, usage = self.invoke(self.body(texts, input_type), texts)
        return parse_vectors(self.read_vectors(answer), (len(texts), self.dimension), usage)
