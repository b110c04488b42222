"""What a person sets about the index, what it is to hold, and the index once found."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from raypipe.opensearch.connection.client import Connection
from raypipe.opensearch.index.mapping import ENGINES

MEBIBYTE = 1024 * 1024
_NAME = re.compile(r"[a-z0-9][^A-Z\\/*?\"<>| ,#:]{0,229}")
"""OpenSearch's rules for index names, 25 bytes short of its 255 for the time behind the name."""


@dataclass(frozen=True)
class IndexConfig:
    """Which index, where, and how it is written.

    Args:
        connection: The way to the server.
        index: The *alias*; the physical index is `<index>-<time>` behind it.
        endpoint: The connection's endpoint again, under the name that people type
            (`opensearch.endpoint`); empty = the connection's.
        shards: Primary shards of a new index.
        replicas: Copies of each shard of a new index.
        engine: k-NN engine of a new index, `lucene` or `faiss`.
        max_bytes: Most uncompressed bytes in a bulk request: the limits of servers and proxies
            count them so (10 MiB on small Amazon domains). A larger document goes alone.
        max_docs: Most documents in a bulk request.
        retry_budget_s: Seconds that the writer waits for a server that takes nothing.
        visible_s: Seconds after which a search sees what was written, on a server without refresh
            (Serverless).

    Raises:
        ValueError: A setting is out of its range.
    """

    connection: Connection
    index: str = "book-summaries"
    endpoint: str = ""
    shards: int = 1
    replicas: int = 0
    engine: str = "lucene"
    max_bytes: int = 8 * MEBIBYTE
    max_docs: int = 1000
    retry_budget_s: float = 600.0
    visible_s: float = 60.0

    def __post_init__(self) -> None:
        """Check the settings."""
        if not _NAME.fullmatch(self.index) or len(self.index.encode()) > 230:
            raise ValueError(
                f"index={self.index} cannot be an index's name: use lowercase letters, digits, "
                "- and _, at most 230 bytes, and begin with a letter or digit"
            )
        if self.endpoint and self.endpoint != self.connection.endpoint:
            raise ValueError(f"endpoint={self.endpoint}, but connection.endpoint is another")
        if self.engine not in ENGINES:
            raise ValueError(f"engine={self.engine}: choose one of {', '.join(ENGINES)}")
        for name, least in (("shards", 1), ("replicas", 0), ("max_bytes", 1), ("max_docs", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)} must be at least {least}")
        for name in ("retry_budget_s", "visible_s"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 0")

    @property
    def has_ids(self) -> bool:
        """Whether the server takes ids and versions; collections for vectors do not."""
        return not self.connection.serverless


@dataclass(frozen=True)
class IndexSpec:
    """What an index is to hold, known on the driver before the run.

    Args:
        dimension: Length of the vectors.
        embedder: What changes the vectors, see `Embedder.identity`.
        state: Id of the state that writes it.
        recipe: Document recipe of the run.
    """

    dimension: int
    embedder: Mapping[str, Any]
    state: str
    recipe: str


@dataclass(frozen=True)
class IndexRef:
    """One physical index, as found or made; small, and may go to workers.

    Args:
        alias: The name that people give.
        physical: The index itself; the alias itself where a concrete index has that name.
        generation: Names this physical index in the ledger; empty if raypipe never marked it.
        endpoint: Where it is.
        created: Whether this call made it.
        require_alias: Whether to write and read through the alias.
        state: Id of the state that it belongs to.
        embedder: Identity of the embedder whose vectors it holds.
        dimension: Length of its vectors; 0 if it has none.
        recipe: Document recipe that it holds.
        served: Whether the name that people give stands for it; False while it is built.
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
        """Return the name to write and read under."""
        return self.alias if self.require_alias else self.physical
