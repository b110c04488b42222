"""Find old indices and documents that nothing needs, and remove them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from raypipe.ledger.document_store import FinishedRecipe
from raypipe.lifecycle.promote import Promoter
from raypipe.opensearch.index import IndexRef


@dataclass(frozen=True)
class Garbage:
    """What can be removed. Paid answers are never among it: they are kept for good.

    Args:
        indices: Physical indices that no alias points at, except those kept for a rollback.
        recipes: Recipes whose finished documents no other index holds and that are not the newest.
    """

    indices: Sequence[IndexRef]
    recipes: Sequence[FinishedRecipe]


def find_garbage(promoter: Promoter) -> Garbage:
    """Return what can be removed, without removing anything.

    Raises:
        SetupError: The server cannot be used.
    """
    alias, documents = promoter.alias, promoter.ledger.documents
    used = [index.ref for index in (alias.find(), alias.find_build()) if index is not None]
    used_names = {ref.physical for ref in used}
    old = [ref for ref in promoter.list_indices() if ref.physical not in used_names]
    kept, unused = old[: promoter.options.keep], old[promoter.options.keep :]
    needed = {ref.content.recipe for ref in (*used, *kept)} | {documents.newest_recipe()}
    recipes = [entry for entry in documents.list_recipes() if entry.recipe not in needed]
    return Garbage(unused, recipes)


def remove_garbage(promoter: Promoter, garbage: Garbage) -> None:
    """Remove indices and documents.

    Raises:
        SetupError: The server or the state cannot be used.
    """
    for ref in garbage.indices:
        promoter.alias.delete(ref.physical)
    for entry in garbage.recipes:
        promoter.ledger.documents.delete_recipe(entry.recipe)
