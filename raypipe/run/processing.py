"""What turns books into documents, and which finished documents a run accepts.

A recipe changes with the settings of the user and with raypipe's own versions. Where only a version
changed, documents of the older recipe stay valid until the user asks for `upgrade=true`: a nightly
run must never read all books again unasked.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any

from raypipe import __version__
from raypipe.config.paths import conf_dir
from raypipe.core.fingerprint import (
    Recipe,
    own_fingerprint,
    recipe_of,
    recipe_of_text,
    settings_fingerprint,
)
from raypipe.embedders import Embedder
from raypipe.ledger.facade import Ledger
from raypipe.ledger.recipes import Provenance, RecipeDescription
from raypipe.opensearch.index import IndexSpec
from raypipe.state.store import state_id
from raypipe.summarizers import Summarizer
from raypipe.text import TextCleaner

_UNDESCRIBED_VERSIONS = frozenset({"2430f1a2ad2982d0", "a75c8ad380b8437e"})
"""`own_fingerprint` of the summarizers extractive and lead, and of bedrock and openai, in the
versions of raypipe that did not describe recipes (0.1 to commit 67e9508)."""


@dataclass(frozen=True)
class Processing:
    """What turns the bytes of a book into a document.

    Args:
        cleaner: Turns bytes into clean text.
        summarizer: Turns clean text into a summary.
        embedder: Turns summaries into vectors.
        stored: Recipe of stored documents that the job indexes; None for documents that these
            parts make.
    """

    cleaner: TextCleaner
    summarizer: Summarizer
    embedder: Embedder
    stored: RecipeDescription | None = None

    @cached_property
    def description(self) -> RecipeDescription:
        """Return the description of the job's documents."""
        return self.stored or describe_recipe(self.cleaner, self.summarizer, self.embedder)

    @cached_property
    def recipe(self) -> Recipe:
        """Return the recipe of the job's documents."""
        description = self.description
        return Recipe(description.text, description.summary, description.document)


@dataclass(frozen=True)
class AcceptedRecipes:
    """Recipes whose documents a run accepts as finished.

    Args:
        documents: Document recipes, the run's own included.
        summaries: Their summary recipes.
        undescribed: Recipes of older raypipes that have the settings of the run, and that the
            state does not describe yet.
    """

    documents: frozenset[str]
    summaries: frozenset[str]
    undescribed: tuple[RecipeDescription, ...] = ()


def own_recipes(recipe: Recipe) -> AcceptedRecipes:
    """Return only the run's own recipe."""
    return AcceptedRecipes(frozenset({recipe.document}), frozenset({recipe.summary}))


def describe_recipe(
    cleaner: TextCleaner, summarizer: Summarizer, embedder: Embedder
) -> RecipeDescription:
    """Return the description of the documents that these parts make."""
    recipe = recipe_of(cleaner.identity(), summarizer.identity(), embedder.identity())
    return RecipeDescription(
        document=recipe.document,
        summary=recipe.summary,
        text=recipe.text,
        settings=_settings_of(summarizer, embedder),
        summarizer=summarizer.name,
        embedder=embedder.name,
        embedder_identity=dict(embedder.identity()),
        dimension=embedder.dimension,
        created_by=f"raypipe {__version__}",
    )


def accepted_recipes(
    own: RecipeDescription, described: Iterable[RecipeDescription]
) -> AcceptedRecipes:
    """Return the recipes that differ from a recipe by raypipe's versions alone, and the recipe."""
    same = [own, *(recipe for recipe in described if recipe.settings == own.settings)]
    return AcceptedRecipes(
        frozenset(recipe.document for recipe in same), frozenset(recipe.summary for recipe in same)
    )


def find_undescribed(
    own: RecipeDescription,
    described: Container[str],
    ledger: Ledger,
    summarizer: Summarizer,
    embedder: Embedder,
) -> list[RecipeDescription]:
    """Return descriptions of the recipes of older raypipes that have the settings of a run.

    Args:
        own: Description of the run's own recipe.
        described: Recipes that the state describes.
        ledger: The ledger.
        summarizer: The run's summarizer.
        embedder: The run's embedder.

    Raises:
        SetupError: The state cannot be read.
    """
    found = []
    for name in ledger.documents.recipe_names():
        if name in described or name == own.document:
            continue
        provenance = ledger.documents.read_provenance(name)
        if _has_same_settings(name, provenance, summarizer, embedder):
            found.append(describe_stored(name, provenance, own.embedder_identity, own.dimension))
    return [replace(recipe, settings=own.settings) for recipe in found]


def describe_stored(
    name: str, provenance: Provenance, embedder_identity: Mapping[str, Any], dimension: int
) -> RecipeDescription:
    """Return the description of a recipe that an older raypipe used; its settings are unknown.

    Args:
        name: The document recipe.
        provenance: What its documents say about it.
        embedder_identity: Settings of the embedder.
        dimension: Length of the vectors.
    """
    return RecipeDescription(
        document=name,
        summary=provenance.summary_recipe,
        text=provenance.text_recipe,
        settings="",
        summarizer=provenance.summarizer,
        embedder=provenance.embedder,
        embedder_identity=embedder_identity,
        dimension=dimension,
    )


def read_accepted(processing: Processing, ledger: Ledger, *, upgrade: bool) -> AcceptedRecipes:
    """Return the recipes whose documents count as finished.

    Args:
        processing: What makes the job's documents.
        ledger: The ledger.
        upgrade: Whether documents of older versions of raypipe are made again.

    Raises:
        SetupError: The state cannot be read.
    """
    own, described = processing.description, ledger.recipes.read()
    undescribed: list[RecipeDescription] = []
    if processing.stored is None:
        parts = (processing.summarizer, processing.embedder)
        undescribed = find_undescribed(own, described, ledger, *parts)
    if upgrade:
        accepted = own_recipes(processing.recipe)
    else:
        accepted = accepted_recipes(own, [*described.values(), *undescribed])
    return replace(accepted, undescribed=tuple(undescribed))


def index_spec(
    description: RecipeDescription, ledger: Ledger, accepted: AcceptedRecipes, *, upgrade: bool
) -> IndexSpec:
    """Return what the index of a job holds.

    Args:
        description: Recipe of the job.
        ledger: The ledger.
        accepted: Recipes whose documents count as finished.
        upgrade: Whether an index with documents of other recipes is rebuilt.

    Raises:
        SetupError: The state cannot be read.
    """
    outdated: set[str] = set()
    if upgrade:
        recipes = ledger.checkpoint.read_recipes()
        outdated = {
            generation for _, generation, recipe in recipes if recipe != description.document
        }
    return IndexSpec(
        dimension=description.dimension,
        embedder=description.embedder_identity,
        state=state_id(ledger.state),
        recipe=description.document,
        summarizer=description.summarizer,
        embedder_name=description.embedder,
        accepted=accepted.documents,
        upgrade=upgrade,
        outdated=frozenset(outdated),
    )


def _has_same_settings(
    document_recipe: str, provenance: Provenance, summarizer: Summarizer, embedder: Embedder
) -> bool:
    """Whether a recipe without a description has the settings of these parts."""
    identity = summarizer.identity()
    if own_fingerprint(identity) in _UNDESCRIBED_VERSIONS:
        text = provenance.text_recipe
        same = recipe_of_text(text, identity, embedder.identity(), document_version=1)
        return same.document == document_recipe
    # The versions changed since, so the hash cannot be compared.
    return (provenance.summarizer, provenance.embedder) == (summarizer.name, embedder.name)


def _settings_of(summarizer: Summarizer, embedder: Embedder) -> str:
    identity = dict(summarizer.identity())
    if identity.get("prompts") == _shipped_prompts():
        identity["prompts"] = "default"  # a new version may ship other prompts
    return settings_fingerprint(identity, embedder.identity())


@cache
def _shipped_prompts() -> Mapping[str, Any]:
    import yaml

    prompts: dict[str, Any] = yaml.safe_load((conf_dir() / "prompts/default.yaml").read_text())
    return {name: text for name, text in prompts.items() if name != "_target_"}
