"""Find old indices and documents that nothing needs, and remove them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from raypipe.ledger.documents import DocumentStore, Kept
from raypipe.opensearch.index import IndexAlias, IndexRef


@dataclass(frozen=True)
class Garbage:
    """What can be removed. Paid answers are never among it: they are kept for good.

    Args:
        indices: Physical indices that no alias points at, except those kept for a rollback.
        recipes: Recipes whose finished documents no other index holds and that are not the newest.
    """

    indices: Sequence[IndexRef]
    recipes: Sequence[Kept]


def find_garbage(alias: IndexAlias, documents: DocumentStore, state: str, keep: int) -> Garbage:
    """Return what can be removed, without removing anything.

    Args:
        alias: The alias that people search.
        documents: The finished documents.
        state: Id of the state.
        keep: Number of old indices to keep.

    Raises:
        SetupError: The server cannot be used.
    """
    used = [index.ref for index in (alias.find(), alias.find_build()) if index is not None]
    used_names = {ref.physical for ref in used}
    old = [ref for ref in alias.list_indices(state) if ref.physical not in used_names]
    kept, unused = old[:keep], old[keep:]
    needed = {ref.recipe for ref in (*used, *kept)} | {documents.newest_recipe()}
    return Garbage(unused, [kept for kept in documents.kept() if kept.recipe not in needed])


def remove_garbage(alias: IndexAlias, documents: DocumentStore, garbage: Garbage) -> None:
    """Remove indices and documents.

    Raises:
        SetupError: The server or the state cannot be used.
    """
    for ref in garbage.indices:
        alias.delete(ref.physical)
    for kept in garbage.recipes:
        documents.drop(kept.recipe)
