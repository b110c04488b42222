"""Select the finished documents that `raypipe index` indexes."""

from __future__ import annotations

import logging
from collections.abc import Set

from raypipe.core.errors import SetupError
from raypipe.ledger.facade import Ledger
from raypipe.ledger.recipes import RecipeDescription
from raypipe.opensearch.index import Index
from raypipe.run.processing import Processing, accepted_recipes, describe_stored

log = logging.getLogger(__name__)


def select_recipe(
    ledger: Ledger, processing: Processing, served: Index | None, *, parts_given: bool
) -> RecipeDescription | None:
    """Return the recipe of the documents to index, or None for the recipe of the parts.

    Args:
        ledger: The ledger.
        processing: The parts of the configuration.
        served: The index that people search.
        parts_given: Whether the user gave options of the parts.

    Raises:
        SetupError: The state cannot be read.
    """
    described, finished = ledger.recipes.read(), set(ledger.documents.recipe_names())
    own = processing.description
    accepted = accepted_recipes(own, described.values()).documents
    served_recipe = served.ref.content.recipe if served is not None else ""
    if parts_given and (finished & accepted or not _is_same_kind(own, described, served_recipe)):
        return None
    recipe = served_recipe if served_recipe in finished else ledger.documents.newest_recipe()
    if not recipe or recipe in accepted:
        return None
    if recipe in described:
        return described[recipe]
    if served is not None and recipe == served_recipe:
        content = served.ref.content
        provenance = ledger.documents.read_provenance(recipe)
        return describe_stored(recipe, provenance, content.embedder, content.dimension)
    return None


def _is_same_kind(
    own: RecipeDescription, described: dict[str, RecipeDescription], served_recipe: str
) -> bool:
    """Whether the parts have the names of those that made the served index."""
    served = described.get(served_recipe)
    names = (own.summarizer, own.embedder)
    return served is not None and (served.summarizer, served.embedder) == names


def check_finished(ledger: Ledger, description: RecipeDescription, accepted: Set[str]) -> None:
    """Raise `SetupError`, before an index is changed, if there are no documents for it."""
    if accepted & set(ledger.documents.recipe_names()):
        return
    uri, recipes = ledger.state.uri, ledger.documents.list_recipes()
    if not recipes:
        raise SetupError(
            f"no finished documents in {uri}; `raypipe run` makes them, and with "
            "opensearch=none it stops there"
        )
    finished = "; ".join(
        f"{recipe.books:,} by {recipe.summarizer} and {recipe.embedder}" for recipe in recipes
    )
    raise SetupError(
        f"{uri} has no documents of this recipe ({description.summarizer} and "
        f"{description.embedder}); finished are {finished}. Give the text, summarizer and "
        "embedder options of the run that made them, or start `raypipe run` with these options"
    )
