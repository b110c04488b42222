"""What no alias and no kept version needs any more: old indices, and documents that none holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from raypipe.ledger.documents import DocumentStore, FinishedRecipe
from raypipe.lifecycle.promote import Promoter
from raypipe.opensearch.index import rebuild as build
from raypipe.opensearch.index.config import IndexRef
from raypipe.opensearch.index.index import delete, get_index


@dataclass(frozen=True)
class Garbage:
    """What could be removed.

    Args:
        indices: Physical indices that no alias stands on, but for the kept ones.
        recipes: Finished documents of recipes that no other index holds, and that are not the
            newest. Paid answers are not among it: they are kept for good.
    """

    indices: Sequence[IndexRef]
    recipes: Sequence[FinishedRecipe]


def find_garbage(promotion: Promoter) -> Garbage:
    """Return what could be removed; nothing is.

    Raises:
        SetupError: The server cannot be used.
    """
    index, documents = promotion.index, DocumentStore(promotion.state)
    served, loading = get_index(index), get_index(build.loading(index))
    used = [found.handle for found in (served, loading) if found is not None]
    names = {one.physical for one in used}
    old = [one for one in promotion.kept() if one.physical not in names]
    kept, extra = old[: promotion.options.keep], old[promotion.options.keep :]
    needed = {one.recipe for one in (*used, *kept)} | {documents.newest_recipe()}
    return Garbage(extra, [one for one in documents.list_recipes() if one.recipe not in needed])


def remove_garbage(promotion: Promoter, found: Garbage) -> None:
    """Remove it.

    Raises:
        SetupError: The server or the state cannot be used.
    """
    for one in found.indices:
        delete(promotion.index, one.physical)
    documents = DocumentStore(promotion.state)
    for recipe in found.recipes:
        documents.delete_recipe(recipe.recipe)
