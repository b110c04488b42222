"""How a text becomes a vector: an `Embedder` with a dimension known before the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from raypipe.models.context import ModelContext, PaidModel
from raypipe.models.protocol import InputType

__all__ = ["Embedder", "InputType"]


class Embedder(Protocol):
    """Turns texts into vectors; made on the driver, used on workers."""

    @property
    def name(self) -> str:
        """Name the embedder in documents and messages, e.g. `wordllama`."""

    @property
    def dimension(self) -> int:
        """Length of its vectors; known without loading a model."""

    @property
    def paid_model(self) -> PaidModel | None:
        """Return the model whose calls cost money, or None if the embedder runs locally."""

    def with_context(self, context: ModelContext) -> Self:
        """Return the embedder with the run's answer cache and quota.

        Called once per run, on the driver, before the embedder is sent to the workers.
        """

    def identity(self) -> Mapping[str, Any]:
        """Return what changes its vectors: model, dimension, normalization."""

    def check(self) -> None:
        """Raise `SetupError` if it could embed nothing (missing weights, credentials)."""

    def embed(
        self, texts: Sequence[str], *, input_type: InputType = "document"
    ) -> NDArray[np.float32]:
        """Return one L2-normalized vector a text, shape (len(texts), dimension)."""
