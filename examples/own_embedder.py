"""Embed with a class of your own: it counts letters, which is short, but finds little.

    python examples/own_embedder.py

The class must be importable by its name, here `own_embedder.LettersEmbedder`: workers import it,
too. raypipe checks its members before a book is read. CONTRIBUTING.md explains each of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import raypipe
from raypipe.embedders import InputType
from raypipe.models.context import CallsNoModel


@dataclass(frozen=True)
class LettersEmbedder(CallsNoModel):
    """Counts each letter in a text.

    Args:
        letters: The letters to count.
    """

    letters: str = "etaoinshrdlu"

    @property
    def name(self) -> str:
        """Return the name for documents and messages."""
        return "letters"

    @property
    def dimension(self) -> int:
        """Return the length of the vectors."""
        return len(self.letters)

    def identity(self) -> Mapping[str, Any]:
        """Return the settings that change the vectors: books are embedded again if they differ."""
        return {"model": "letters", "letters": self.letters}

    def check(self) -> None:
        """Do nothing: this embedder needs no model and no server."""

    def embed(
        self, texts: Sequence[str], *, input_type: InputType = "document"
    ) -> NDArray[np.float32]:
        """Return an L2-normalized vector for each text, shape (len(texts), dimension)."""
        counts = [[text.count(letter) + 1 for letter in self.letters] for text in texts]
        vectors = np.array(counts, dtype=np.float32).reshape(-1, self.dimension)
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def main() -> None:
    """Index with the embedder into an index of its own, and search with it."""
    options: dict[str, Any] = {
        "embedder": {"_target_": "own_embedder.LettersEmbedder", "letters": "etaoinshr"},
        "opensearch__index": "books-by-letters",
    }
    result = raypipe.run(**options)
    print(f"{result.indexed} books indexed, {result.skipped} done before")
    for hit in raypipe.search("a diary of a lighthouse keeper", limit=3, **options):
        print(f"{hit.rank}. {hit.title}")


if __name__ == "__main__":
    main()
