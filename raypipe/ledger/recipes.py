"""Describe the document recipes of a state, `recipes/<document recipe>.json`.

A recipe is a hash. The description keeps what the hash hides: which settings of the user it stands
for, and which summarizer and embedder made the documents.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from raypipe.core.errors import SetupError
from raypipe.core.json_record import make_record, read_object
from raypipe.state.store import State

FOLDER = "recipes"
VERSION = 1
"""Version of a description."""


@dataclass(frozen=True)
class FinishedRecipe:
    """A document recipe with finished documents.

    Args:
        recipe: The document recipe.
        summarizer: Name of the summarizer of the newest document.
        embedder: Name of the embedder of the newest document.
        books: Number of books with a document of this recipe.
    """

    recipe: str
    summarizer: str
    embedder: str
    books: int


@dataclass(frozen=True)
class Provenance:
    """What the documents of a recipe say about it; the fields are columns of the documents."""

    text_recipe: str = ""
    summary_recipe: str = ""
    summarizer: str = ""
    embedder: str = ""


@dataclass(frozen=True)
class RecipeDescription:
    """A document recipe in readable form.

    Args:
        document: The document recipe.
        summary: Its summary recipe.
        text: Its text recipe.
        settings: Fingerprint of the user's settings alone, without raypipe's own versions.
        summarizer: Name of the summarizer.
        embedder: Name of the embedder.
        embedder_identity: Settings that change the vectors, see `Embedder.identity`.
        dimension: Length of the vectors.
        created_by: Version of raypipe that first used the recipe.
    """

    document: str
    summary: str
    text: str
    settings: str
    summarizer: str
    embedder: str
    embedder_identity: Mapping[str, Any] = field(default_factory=dict)
    dimension: int = 0
    created_by: str = ""


@dataclass(frozen=True)
class Recipes:
    """The described recipes of a state.

    Args:
        state: Where the descriptions are kept.
    """

    state: State

    def record(self, description: RecipeDescription) -> None:
        """Describe a recipe, unless it is described already.

        Raises:
            SetupError: The state cannot be written.
        """
        cell = {"version": VERSION, **dataclasses.asdict(description)}
        name = f"{FOLDER}/{description.document}.json"
        self.state.put_if_absent(name, json.dumps(cell, indent=1).encode())

    def read(self) -> dict[str, RecipeDescription]:
        """Return the descriptions by document recipe.

        A state that only older versions of raypipe wrote has none.

        Raises:
            SetupError: A description is damaged, or the state cannot be read.
        """
        names = (name for name in self.state.list(f"{FOLDER}/") if name.endswith(".json"))
        described = (self._read(name) for name in names)
        return {recipe.document: recipe for recipe in described if recipe is not None}

    def _read(self, name: str) -> RecipeDescription | None:
        data = self.state.get(name)
        if data is None:
            return None  # deleted since it was listed
        known = {field.name for field in dataclasses.fields(RecipeDescription)}
        try:
            cell = read_object(data)
            return make_record(RecipeDescription, {key: cell[key] for key in known})
        except (ValueError, KeyError):
            raise SetupError(
                f"{name} in the state {self.state.uri} is damaged; restore it from a backup, or "
                "delete it: its documents are then compared by their names alone"
            ) from None
