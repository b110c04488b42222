"""The contract of embedders: texts in, unit vectors of a known dimension out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from raypipe.models.context import ModelContext, PaidModel
from raypipe.models.protocol import InputType

__all__ = ["CountsCosts", "Embedder", "EmbeddingCost", "InputType", "LightEmbedder"]


class Embedder(Protocol):
    """Turn texts into vectors. Created on the driver and pickled to the workers."""

    @property
    def name(self) -> str:
        """Return the name for documents and messages, such as `wordllama`."""

    @property
    def dimension(self) -> int:
        """Return the length of the vectors; known without loading a model."""

    @property
    def paid_model(self) -> PaidModel | None:
        """Return the model whose calls cost money, or None if the embedder runs locally."""

    def with_context(self, context: ModelContext) -> Self:
        """Return the embedder with the run's answer cache and quota.

        Called once per run, on the driver, before the embedder is sent to the workers.
        """

    def identity(self) -> Mapping[str, Any]:
        """Return the settings that change the vectors: model, dimension, normalization."""

    def check(self) -> None:
        """Check that the embedder can work, before the first book.

        Raises:
            SetupError: It cannot embed any text: missing weights, package or credentials.
        """

    def embed(
        self, texts: Sequence[str], *, input_type: InputType = "document"
    ) -> NDArray[np.float32]:
        """Return one L2-normalized vector per text, shape (len(texts), dimension).

        Args:
            texts: Texts of any length.
            input_type: Whether the texts are indexed or searched with.
        """


@dataclass(frozen=True, slots=True)
class EmbeddingCost:
    """Calls, tokens and dollars that the vector of a text cost, in this run or earlier."""

    calls: int = 0
    input_tokens: int = 0
    usd: float = 0.0


@runtime_checkable
class CountsCosts(Protocol):
    """An embedder that says what each vector cost."""

    def embed_counted(
        self, texts: Sequence[str], owners: Sequence[str]
    ) -> tuple[NDArray[np.float32], list[EmbeddingCost]]:
        """Return one L2-normalized vector per document, and what it cost.

        Args:
            texts: Texts of any length.
            owners: Key of the book of each text.
        """


@runtime_checkable
class LightEmbedder(Protocol):
    """An embedder that may run in the summarizers' processes instead of a separate pool."""

    @property
    def is_light(self) -> bool:
        """Whether threads may share the embedder, and it takes little memory and time."""
