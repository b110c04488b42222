"""Read what the served index has of a single book."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from raypipe.core.errors import SetupError
from raypipe.opensearch.index.alias import IndexAlias
from raypipe.opensearch.index.reads import VERSION_FIELDS

ENTRY_FIELDS = (*VERSION_FIELDS, "key", "title")


@dataclass(frozen=True)
class IndexEntry:
    """What the served index has of a book.

    Args:
        index: The physical index; '' if it could not be read.
        document: Fields of the document; None if the index lacks it.
        problem: Why the index could not be read.
    """

    index: str = ""
    document: dict[str, Any] | None = None
    problem: str = ""


def read_entry(
    alias: IndexAlias | None, book_id: str, fields: Collection[str] = ENTRY_FIELDS
) -> IndexEntry:
    """Return what the served index has of a book; an index that cannot be read is no error.

    Args:
        alias: The index; None for `opensearch=none`.
        book_id: Id of the book.
        fields: Fields of the document.
    """
    if alias is None:
        return IndexEntry(problem="opensearch=none")
    try:
        index = alias.find()
        if index is None:
            return IndexEntry(problem=f"there is no index {alias.config.index} yet")
        return IndexEntry(index.ref.physical, index.mget([book_id], fields)[book_id])
    except SetupError as error:
        return IndexEntry(problem=str(error))
