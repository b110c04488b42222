"""A deterministic embedder without a model, for tests and benchmarks of everything else."""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raypipe.embedders.protocol import InputType
from raypipe.models.context import CallsNoModel

_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class HashEmbedder(CallsNoModel):
    """Count words in hashed buckets, so that texts that share words have similar vectors.

    The hashing trick with a sign (Weinberger et al., "Feature Hashing for Large Scale
    Multitask Learning", 2009). It uses CRC-32, because Python's own `hash` differs by process.

    Args:
        dimension: Length of the vectors.

    Raises:
        ValueError: The dimension is less than 1.
    """

    dimension: int = 64

    def __post_init__(self) -> None:
        """Check the dimension."""
        if self.dimension < 1:
            raise ValueError(f"dimension={self.dimension} must be at least 1")

    @property
    def name(self) -> str:
        """Return the name for documents and messages."""
        return "hash"

    @property
    def is_light(self) -> bool:
        """Return True: no separate process is needed."""
        return True

    def identity(self) -> Mapping[str, Any]:
        """Return the settings that change the vectors."""
        return {"model": "hash", "version": 1, "dimension": self.dimension, "normalize": "l2"}

    def check(self) -> None:
        """Do nothing: there is nothing to load."""

    def embed(
        self, texts: Sequence[str], *, input_type: InputType = "document"
    ) -> NDArray[np.float32]:
        """Return one L2-normalized vector per text, shape (len(texts), dimension); never zero.

        Args:
            texts: Texts of any length.
            input_type: Has no effect.
        """
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            for word, count in Counter(_WORD.findall(text.lower())).items():
                bucket, sign = self._bucket(word)
                vector[bucket] += sign * count
            if not vector.any():  # no words, or words that cancel out: hash the text as a whole
                vector[self._bucket(text)[0]] = 1.0
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors

    def _bucket(self, word: str) -> tuple[int, float]:
        """Return the bucket of a word, and 1.0 or -1.0."""
        code = zlib.crc32(word.encode("utf-8", "surrogatepass"))
        return (code >> 1) % self.dimension, 1.0 if code & 1 else -1.0
