"""Refuse to replace an index by documents of another summarizer or embedder unless asked to."""

from __future__ import annotations

from dataclasses import dataclass

from raypipe.core.errors import OptionError
from raypipe.opensearch.index import Index, IndexAlias, IndexSpec
from raypipe.opensearch.index.compatibility import embedder_differences


@dataclass(frozen=True)
class Replacement:
    """An index whose documents another summarizer or embedder made. Names are keys of JSON output.

    Args:
        index: Name of the physical index.
        summarizer: Name of the summarizer that made its documents.
        embedder: Name of the embedder that made its documents.
        differences: What differs, one readable line each.
    """

    index: str
    summarizer: str
    embedder: str
    differences: list[str]


def find_replacement(alias: IndexAlias, spec: IndexSpec) -> Replacement | None:
    """Return the served index, or else the index that is built, if other parts made it.

    Args:
        alias: The alias.
        spec: Content that the index would get.

    Raises:
        SetupError: The server cannot be used.
    """
    index = alias.find() or alias.find_build()
    return None if index is None else compare_makers(index, spec)


def compare_makers(index: Index, spec: IndexSpec) -> Replacement | None:
    """Compare the summarizer and the embedder of an index with those of a run.

    An index of an older raypipe does not name them; then one of its documents does.

    Raises:
        SetupError: The server cannot be used.
    """
    content = index.ref.content
    summarizer, embedder = content.summarizer, content.embedder_name
    if not summarizer or not embedder:
        summarizer, embedder = index.read_makers()
    differences = [
        f"{name} {before}, this run has {after}"
        for name, before, after in (
            ("summarizer", summarizer, spec.summarizer),
            ("embedder", embedder, spec.embedder_name),
        )
        if before and after and before != after
    ]
    if content.embedder and embedder == spec.embedder_name:
        differences += embedder_differences(content.embedder, spec.embedder_as_json())
    if not differences:
        return None
    return Replacement(index.ref.physical, summarizer, embedder, differences)


def check_replacement(alias: IndexAlias, spec: IndexSpec) -> None:
    """Stop a run that would replace an index that other parts made, before it begins.

    Raises:
        OptionError: It would.
        SetupError: The server cannot be used.
    """
    found = find_replacement(alias, spec)
    if found is not None:
        raise OptionError(
            f"opensearch.index={alias.config.index} ({found.index}) has "
            f"{'; '.join(found.differences)}. Give the options that made it (its documents are by "
            f"{found.summarizer} and {found.embedder}; this run makes {spec.summarizer} and "
            f"{spec.embedder_name}), or build a new index and serve that with replace=true"
        )
