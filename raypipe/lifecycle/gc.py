"""What no alias and no kept version needs any more: old indices, and documents that none holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from raypipe.ledger.documents import DocumentStore, Kept
from raypipe.lifecycle.promote import Promoter
from raypipe.opensearch.index import IndexRef


@dataclass(frozen=True)
class Garbage:
    """What could be removed.

    Args:
        indices: Physical indices that no alias stands on, but for the kept ones.
        recipes: Finished documents of recipes that no other index holds, and that are not the
            newest. Paid answers are not among it: they are kept for good.
    """

    indices: Sequence[IndexRef]
    recipes: Sequence[Kept]


def find_garbage(promotion: Promoter) -> Garbage:
    """Return what could be removed; nothing is.

    Raises:
        SetupError: The server cannot be used.
    """
    alias, documents = promotion.alias, DocumentStore(promotion.state)
    used = [index.ref for index in (alias.find(), alias.find_build()) if index is not None]
    names = {one.physical for one in used}
    old = [one for one in promotion.kept() if one.physical not in names]
    kept, extra = old[: promotion.options.keep], old[promotion.options.keep :]
    needed = {one.recipe for one in (*used, *kept)} | {documents.newest_recipe()}
    return Garbage(extra, [one for one in documents.kept() if one.recipe not in needed])


def remove_garbage(promotion: Promoter, found: Garbage) -> None:
    """Remove it.

    Raises:
        SetupError: The server or the state cannot be used.
    """
    for one in found.indices:
        promotion.alias.delete(one.physical)
    documents = DocumentStore(promotion.state)
    for recipe in found.recipes:
        documents.drop(recipe.recipe)
