"""Create, read, rebuild and delete indices.

`IndexConfig` holds the settings, `IndexAlias` finds or creates an index, and `Index` reads and
writes one physical index.
"""

from raypipe.opensearch.index.alias import IndexAlias
from raypipe.opensearch.index.config import IndexConfig
from raypipe.opensearch.index.index import Index
from raypipe.opensearch.index.reads import IndexedBook
from raypipe.opensearch.index.ref import IndexRef, IndexSpec

__all__ = ["Index", "IndexAlias", "IndexConfig", "IndexRef", "IndexSpec", "IndexedBook"]
