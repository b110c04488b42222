"""Settings of an index: its name, its server, and how it is written."""

from __future__ import annotations

import re
from dataclasses import dataclass

from raypipe.opensearch.bulk.batch_size import MEBIBYTE
from raypipe.opensearch.connection.client import Connection

ENGINES = ("lucene", "faiss")
_NAME = re.compile(r"[a-z0-9][^A-Z\\/*?\"<>| ,#:]{0,229}")
"""OpenSearch's rules for index names; 25 bytes short of its 255, for the time in the name."""


@dataclass(frozen=True)
class IndexConfig:
    """Name, server and write settings of an index; set in `conf/opensearch`.

    Args:
        connection: Connection to the server.
        index: The *alias*; the physical index behind it is called `<index>-<time>`.
        endpoint: The connection's endpoint, repeated as the short option `opensearch.endpoint`;
            empty for the connection's.
        shards: Primary shards of a new index.
        replicas: Copies of each shard of a new index.
        engine: k-NN engine of a new index, `lucene` or `faiss`.
        max_bytes: Most uncompressed bytes in a bulk request: servers and proxies count their
            limits so (10 MiB on small Amazon domains). A larger document is sent alone.
        max_docs: Most documents in a bulk request.
        flush_s: Seconds that finished books wait for others, to be written together.
        retry_budget_s: Seconds that the writer retries while the server accepts nothing.
        visible_s: Seconds until a search finds what was written, on a server without refresh
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
    flush_s: float = 3.0
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
            raise ValueError(
                f"endpoint={self.endpoint} differs from "
                f"connection.endpoint={self.connection.endpoint}; set one of them"
            )
        if self.engine not in ENGINES:
            raise ValueError(f"engine={self.engine}: choose one of {', '.join(ENGINES)}")
        for name, least in (("shards", 1), ("replicas", 0), ("max_bytes", 1), ("max_docs", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}={getattr(self, name)} must be at least {least}")
        for name in ("flush_s", "retry_budget_s", "visible_s"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 0")

    @property
    def label(self) -> str:
        """Return the index's name and server for messages."""
        return f"opensearch.index={self.index} at {self.connection.endpoint}"
