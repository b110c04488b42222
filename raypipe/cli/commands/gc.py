"""List old indices and documents that no alias and no kept index uses; apply=true removes them."""

from __future__ import annotations

import dataclasses

from omegaconf import DictConfig

from raypipe.cli.index_session import index_session
from raypipe.config.build import read_options
from raypipe.core.exit_codes import OK
from raypipe.core.options import IndexOptions
from raypipe.core.printable import join_lines, to_json
from raypipe.lifecycle.gc import Garbage, find_garbage, remove_garbage


def main(cfg: DictConfig) -> int:
    """Print the unused indices and documents, and remove them with apply=true.

    Raises:
        SetupError: Another run writes this state, or the server cannot be used.
    """
    options = read_options(cfg)
    with index_session(cfg, options, IndexOptions(keep=options.keep)) as promoter:
        garbage = find_garbage(promoter, options.indices)
        if options.apply:
            remove_garbage(promoter, garbage)
    if options.output == "json":
        report = {
            "indices": [index.physical for index in garbage.indices],
            "recipes": [dataclasses.asdict(recipe) for recipe in garbage.recipes],
            "unrecorded": [index.physical for index in garbage.unrecorded],
            "removed": options.apply,
        }
        print(to_json(report))
    else:
        print(_format_garbage(garbage, is_removed=options.apply))
    return OK


def _format_garbage(garbage: Garbage, *, is_removed: bool) -> str:
    lines = [
        f"index      {index.physical} (recipe {index.content.recipe}): no alias points at it"
        for index in garbage.indices
    ]
    kept = [
        f"kept       {index.physical}: nothing records when it was served; `raypipe gc apply=true "
        f"indices=[{index.physical}]` removes it"
        for index in garbage.unrecorded
    ]
    lines += [
        f"documents  {recipe.books:,} books of the recipe {recipe.recipe} ({recipe.summarizer}, "
        f"{recipe.embedder}): no index contains them"
        for recipe in garbage.recipes
    ]
    if not lines:
        nothing = "nothing to remove: an alias or a kept index uses all indices and documents"
        return join_lines([*kept, nothing])
    total = (
        f"{len(garbage.indices):,} indices and the documents of {len(garbage.recipes):,} recipes"
    )
    lines.append(
        f"removed {total}" if is_removed else f"{total}: `raypipe gc apply=true` removes them"
    )
    return join_lines([*kept, *lines])
