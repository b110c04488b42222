"""Identify an index: the wanted content, and one physical index on a server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class IndexSpec:
    """The content that a run needs its index to hold; known on the driver before the run.

    Args:
        dimension: Length of the vectors.
        embedder: Settings that change the vectors, see `Embedder.identity`.
        state: Id of the state that writes the index.
        recipe: Document recipe of the run.
    """

    dimension: int
    embedder: Mapping[str, Any]
    state: str
    recipe: str


@dataclass(frozen=True)
class IndexRef:
    """Facts about one physical index; small, and picklable to workers.

    Args:
        alias: Alias that the index is written through.
        physical: Name of the index; equal to `alias` for a concrete index of that name.
        generation: Id of this physical index in the ledger; empty without raypipe's metadata.
        endpoint: URL of the server.
        created: Whether this call created the index.
        require_alias: Whether to write through the alias.
        state: Id of the state that the index belongs to.
        embedder: Identity of the embedder of its vectors.
        dimension: Length of its vectors; 0 if it has none.
        recipe: Document recipe of its documents.
        served: Whether searches use the index; False while it is built beside the served one.
    """

    alias: str
    physical: str
    generation: str
    endpoint: str
    created: bool = False
    require_alias: bool = True
    state: str = ""
    embedder: Mapping[str, Any] = field(default_factory=dict)
    dimension: int = 0
    recipe: str = ""
    served: bool = True

    @property
    def target(self) -> str:
        """Return the name to write to."""
        return self.alias if self.require_alias else self.physical
