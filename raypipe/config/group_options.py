"""Find which choices of an option group have an option, from the option files in `conf/`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from raypipe.config.paths import conf_dir, conf_folders
from raypipe.core.suggest import did_you_mean, find_close_names

_MAX_GROUPS = 2

LISTS = ("notify",)
"""Groups of which several choices hold together, as in `notify=[slack,sns]`. Each option file has
its part below the name of the choice."""


def explain_added_argument(key: str) -> str:
    """Return how to write an argument of the user's own class."""
    return f"for an argument of your class, write +{key}"


def explain_other_choices(key: str, current: Mapping[str, str] | None = None) -> str:
    """Return which choices have an option of this name, or ''.

    Args:
        key: Name of an option that the composed config lacks, e.g. `summarizer.model_id`.
        current: The current choice of each group, if known.

    Returns:
        For example `summarizer=bedrock and summarizer=openai have summarizer.model.model_id, the
        current choice is summarizer=extractive`.
    """
    group, dot, rest = key.partition(".")
    folders = conf_folders() - {"base", "hydra", "scale"}
    if dot and group not in folders:
        return ""
    if not dot:
        lines = (_explain_group(each, f".{key}", current or {}) for each in sorted(folders))
        return "; ".join([line for line in lines if line][:_MAX_GROUPS])
    return _explain_group(group, rest, current or {})


def split_choices(value: object) -> list[str]:
    """Return the choices that the value of a group names: one, or those of `[slack,sns]`.

    Args:
        value: A text as on a command line, or a list of a settings file.
    """
    if isinstance(value, list):
        return [str(choice) for choice in value]
    return [choice.strip().strip("'\"") for choice in str(value).strip("'\"[]").split(",")]


def list_choices(value: object, choices: Sequence[str]) -> str:
    """Return `choose one of ...`, with the choice that a wrong value may mean.

    Args:
        value: The value that is no choice.
        choices: The choices, in the order to show.
    """
    hint = did_you_mean(str(value).strip("'\""), choices)
    return f"choose one of {', '.join(choices)}{'; ' if hint else ''}{hint}"


def _explain_group(group: str, rest: str, current: Mapping[str, str]) -> str:
    owners = _owners(group)
    names = [name for name in owners if f".{name}".endswith(f".{rest.lstrip('.')}")]
    if not names and "." in rest[1:]:
        names = find_close_names(rest, owners)[:1]
    chosen = current.get(group, "")
    if not names or chosen in owners[names[0]]:
        return ""
    subject = "it" if names[0] == rest else f"{group}.{names[0]}"
    line = f"{subject} is an option of {group}={', '.join(owners[names[0]])}"
    return f"{line}; the current {group} is {chosen}" if chosen else line


@cache
def _owners(group: str) -> Mapping[str, list[str]]:
    """Return the choices that have an option, by its name below the group."""
    owners: dict[str, list[str]] = {}
    for path in sorted((conf_dir() / group).glob("*.yaml")):
        for name in names_below(_load(path)):
            owners.setdefault(name, []).append(path.stem)
    return owners


def _load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def names_below(node: Any, prefix: str = "") -> Iterator[str]:
    """Yield the full names of the options in a tree, without Hydra's own keys.

    Args:
        node: The tree, or a value in it.
        prefix: Name of the node, with a dot at the end.
    """
    if not isinstance(node, Mapping):
        return
    for key, value in node.items():
        if str(key).isidentifier() and not str(key).startswith("_") and key != "defaults":
            yield f"{prefix}{key}"
            yield from names_below(value, f"{prefix}{key}.")
