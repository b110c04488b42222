"""Show what no alias and no kept version needs any more; remove it with apply=true."""

from __future__ import annotations

import dataclasses
import json

from omegaconf import DictConfig

from raypipe.cli.index_session import index_session
from raypipe.config import build as config
from raypipe.core.options import IndexOptions
from raypipe.lifecycle.gc import Garbage, find_garbage, remove_garbage


def main(cfg: DictConfig) -> int:
    """Print what could be removed, and remove it if asked to.

    Raises:
        SetupError: Another run writes this state, or the server cannot be used.
    """
    options = config.options(cfg)
    with index_session(cfg, options, IndexOptions(keep=options.keep)) as promotion:
        found = find_garbage(promotion)
        if options.apply:
            remove_garbage(promotion, found)
    if options.output == "json":
        cell = {
            "indices": [one.physical for one in found.indices],
            "recipes": [dataclasses.asdict(one) for one in found.recipes],
            "removed": options.apply,
        }
        print(json.dumps(cell, ensure_ascii=False))
    else:
        print(_text(found, applied=options.apply))
    return 0


def _text(found: Garbage, *, applied: bool) -> str:
    lines = [
        f"index      {one.physical} (recipe {one.recipe}): no alias stands on it"
        for one in found.indices
    ]
    lines += [
        f"documents  {one.books:,} books of the recipe {one.recipe} ({one.summarizer}, "
        f"{one.embedder}): no index holds it"
        for one in found.recipes
    ]
    if not lines:
        return "nothing to remove: an alias or a kept version needs all that is there"
    number = f"{len(found.indices):,} indices and the documents of {len(found.recipes):,} recipes"
    done = f"removed {number}" if applied else f"{number}: `raypipe gc apply=true` removes them"
    return "\n".join([*lines, done])
