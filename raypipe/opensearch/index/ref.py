"""Identify an index: the wanted content, and one physical index on a server.

Every physical index has a private alias, `<physical>-write`. All writes and deletes go to it, so
they reach this index only, wherever the served alias points, and never create an index.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

_JSON = orjson.OPT_SERIALIZE_NUMPY
_WRITE = "-write"
LOADING = "-loading"
"""Suffix of the alias of an index that is built beside the served index."""
OWN_SUFFIXES = (LOADING, _WRITE)
"""Suffixes of the aliases that raypipe makes besides the configured alias."""


def write_alias(physical: str) -> str:
    """Return the name of the private alias through which a physical index is written."""
    return f"{physical}{_WRITE}"


@dataclass(frozen=True)
class IndexSpec:
    """The content of an index: what a run needs it to hold, or what it holds.

    Args:
        dimension: Length of the vectors; 0 for an index without vectors.
        embedder: Settings that change the vectors, see `Embedder.identity`.
        state: Id of the state that writes the index.
        recipe: Document recipe of the run.
        summarizer: Name of the summarizer; '' if unknown.
        embedder_name: Name of the embedder; '' if unknown.
        accepted: Further recipes that the index may have been made with; see
            `raypipe.run.processing`.
        upgrade: Whether an index of an older raypipe is rebuilt.
        outdated: Generations of indices with documents of other recipes, if `upgrade` is set.
    """

    dimension: int = 0
    embedder: Mapping[str, Any] = field(default_factory=dict)
    state: str = ""
    recipe: str = ""
    summarizer: str = ""
    embedder_name: str = ""
    accepted: frozenset[str] = frozenset()
    upgrade: bool = False
    outdated: frozenset[str] = frozenset()

    def embedder_as_json(self) -> dict[str, Any]:
        """Return the embedder's settings as an index stores them."""
        return dict(orjson.loads(orjson.dumps(dict(self.embedder), option=_JSON)))

    def accepts(self, recipe: str) -> bool:
        """Whether the index may have been made with this recipe."""
        return recipe == self.recipe or recipe in self.accepted


@dataclass(frozen=True)
class IndexRef:
    """Facts about one physical index; small, and picklable to workers.

    Args:
        alias: Name that the configuration gives the index, which is an alias as a rule.
        physical: Name of the index; equal to `alias` for a concrete index of that name.
        generation: Id of this physical index in the ledger; empty without raypipe's metadata.
        endpoint: URL of the server.
        created: Whether this call created the index.
        content: What the index holds; empty texts without raypipe's metadata.
        served: Whether searches use the index; False while it is built beside the served one.
        aliases: All aliases of the index.
        last_served: Number of the last time that the index began to be served, counted over all
            indices of the alias; 0 if there is no record of it.
        closed: Whether the index is closed: it cannot be searched or written.
    """

    alias: str
    physical: str
    generation: str
    endpoint: str
    created: bool = False
    content: IndexSpec = field(default_factory=IndexSpec)
    served: bool = True
    aliases: tuple[str, ...] = field(default=(), compare=False)
    last_served: int = field(default=0, compare=False)
    closed: bool = field(default=False, compare=False)

    @property
    def require_alias(self) -> bool:
        """Whether the configured name is an alias, and not the index itself."""
        return self.physical != self.alias

    @property
    def target(self) -> str:
        """Return the name to write to: the private alias of the index."""
        return write_alias(self.physical)
