"""Find old indices and documents that nothing needs, and remove them."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from raypipe.core.errors import OptionError
from raypipe.ledger.recipes import FinishedRecipe
from raypipe.lifecycle.promote import Promoter
from raypipe.opensearch.index import IndexRef


@dataclass(frozen=True)
class Garbage:
    """What can be removed. Paid answers are never among it: they are kept for good.

    Args:
        indices: Physical indices that no alias points at, except those kept for a rollback.
        recipes: Recipes whose finished documents no other index holds and that are not the newest.
        unrecorded: Indices without a record of when they were served. They may have been served
            last, so they are removed by name only.
    """

    indices: Sequence[IndexRef]
    recipes: Sequence[FinishedRecipe]
    unrecorded: Sequence[IndexRef] = ()


def find_garbage(promoter: Promoter, names: Collection[str] = ()) -> Garbage:
    """Return what can be removed, without removing anything.

    Args:
        promoter: The alias and the ledger.
        names: Indices without a record of a service that the user wants to remove.

    Raises:
        SetupError: The server cannot be used.
        OptionError: There is no such index without a record of a service.
    """
    documents = promoter.ledger.documents
    unused = promoter.list_unused()
    if unknown := sorted(set(names) - {ref.physical for ref in unused.unrecorded}):
        choices = ", ".join(ref.physical for ref in unused.unrecorded) or "none"
        raise OptionError(
            f"indices={','.join(unknown)}: not an unused index without a record of a service; "
            f"these are {choices}"
        )
    named = [ref for ref in unused.unrecorded if ref.physical in names]
    removed = [*unused.removable, *named]
    needed = _needed_recipes(promoter, removed) | {documents.newest_recipe()}
    recipes = [entry for entry in documents.list_recipes() if entry.recipe not in needed]
    unrecorded = [ref for ref in unused.unrecorded if ref.physical not in names]
    return Garbage(removed, recipes, unrecorded)


def _needed_recipes(promoter: Promoter, removed: Sequence[IndexRef]) -> set[str]:
    """Return the recipes of all indices that stay, also those of other names and servers."""
    gone = {ref.generation for ref in removed}
    existing = [ref for ref in promoter.list_indices() if ref.generation not in gone]
    needed = {ref.content.recipe for ref in existing}
    generations = {ref.generation for ref in existing}
    own_name = re.compile(rf"{re.escape(promoter.alias.config.index)}-\d{{14}}")
    rows = promoter.ledger.checkpoint.read_recipes()
    for index, generation, recipe in rows:
        is_deleted = bool(own_name.fullmatch(index)) and generation not in generations
        if not is_deleted:
            needed.add(recipe)
    return needed


def remove_garbage(promoter: Promoter, garbage: Garbage) -> None:
    """Remove indices and documents.

    Raises:
        SetupError: The server or the state cannot be used.
    """
    for ref in garbage.indices:
        promoter.alias.delete(ref.physical)
    for entry in garbage.recipes:
        promoter.ledger.documents.delete_recipe(entry.recipe)
