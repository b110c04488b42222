"""Which books were deleted from the source, and what a run deleted because of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field


@dataclass(frozen=True)
class DeletionLimit:
    """How many books may disappear from the source before a run asks.

    Args:
        max_fraction: Maximum share of the finished books to delete.
        allow_all: Delete any number of books.
    """

    max_fraction: float = 0.05
    allow_all: bool = False


@dataclass(frozen=True)
class DeletedBooks:
    """How a listing differs from the books that were finished before.

    Args:
        keys: Keys, by book id, of finished books that the listing should contain but does not.
        renames: Ids of listed books that seem to be books of `keys` under a new key, by the old
            id. Each listed book is the new name of one book at most.
        returned: Ids of books with a tombstone that are listed again.
        known: Number of finished books that the listing should contain.
        unseen: Ids of finished books in folders that could not be listed. They are kept.
    """

    keys: Mapping[str, str] = field(default_factory=dict)
    renames: Mapping[str, str] = field(default_factory=dict)
    returned: Sequence[str] = ()
    known: int = 0
    unseen: Set[str] = frozenset()

    @property
    def removed(self) -> int:
        """Return the number of books that are deleted and not renamed."""
        return len(self.keys) - len(self.renames)

    @property
    def removed_fraction(self) -> float:
        """Return the share of the known books that is removed."""
        return self.removed / max(self.known, 1)


@dataclass(frozen=True)
class Deletions:
    """What a run deleted.

    Args:
        deleted: Number of books deleted because their keys are gone from the source.
        waiting: Number of renamed books that keep the document under the old key, because the
            book is not indexed under the new key yet.
    """

    deleted: int = 0
    waiting: int = 0
