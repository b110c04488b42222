"""Which command has which option, from the schemas and `conf/`, without composing a config.

Composing takes a quarter of a second for each command; a command with a settings file asks about
all commands.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

from raypipe.cli.help_text.config_comments import (
    default_choices,
    group_choices,
    leaf_options,
    read_values,
    sort_choices,
)
from raypipe.config.group_options import explain_added_argument, explain_other_choices
from raypipe.config.paths import conf_dir, conf_folders
from raypipe.config.schema import SCHEMAS
from raypipe.core.suggest import did_you_mean

FIRST = "run"
"""The command whose options a settings file means where commands give a name two meanings."""

ONE_TIME = frozenset(
    "adopt all allow_deletes apply force overwrite purge query replace to upgrade".split()  # noqa: SIM905
)
"""Options for a single command line: in a file, each run would delete or replace something."""

_PRESETS = "scale"
"""The group without an option: its files set options of `stages`."""


def group_names() -> set[str]:
    """Return the names of all option groups."""
    return conf_folders() - {"base", "hydra"}


def takes(command: str, key: str) -> bool:
    """Return whether a command has the option on its command line, as the first name tells."""
    top = top_name(key)
    return top in _hints(command) or (top == _PRESETS and "stages" in _hints(command))


def takes_from_file(command: str, key: str) -> bool:
    """Return whether a command takes an option of a settings file.

    `limit` and `quota` mean books and models there, not the hits of `search` or the quotas of
    `simulate`: a name has the meaning that it has in `run`.
    """
    name = top_name(key)
    if not takes(command, key):
        return False
    return name not in _hints(FIRST) or _hints(FIRST)[name] == _hints(command).get(name, Any)


def commands_with(key: str) -> list[str]:
    """Return the commands that have the option."""
    return [command for command in SCHEMAS if takes(command, key)]


def is_group(command: str, key: str) -> bool:
    """Return whether the option chooses an option file of a command."""
    return key in default_choices(command)


def top_name(key: str) -> str:
    """Return the first name of an option: `storage` of `+storage.path`."""
    return key.lstrip("+~").split(".")[0]


def is_option(key: str, config_dir: Path | None = None) -> bool:
    """Return whether any command has the option, with any choice of its group.

    Args:
        key: Full name of the option.
        config_dir: A folder with more option files.
    """
    return key in group_names() or any(_reach(key, tree) for tree in _trees(key, config_dir))


def has_options_below(key: str, config_dir: Path | None = None) -> bool:
    """Return whether the name stands for several options, such as `state` or `storage`."""
    return any(_is_branch(key, tree) for tree in _trees(key, config_dir))


def is_in_table(key: str) -> bool:
    """Return whether the option is a name in a table that is empty by default."""
    return any(_is_below_empty(key, tree) for tree in _trees(key, None))


def suggest(key: str, config_dir: Path | None = None, *, with_classes: bool = False) -> str:
    """Return `; did you mean ...?` for a name that is no option, or ''.

    Args:
        key: The name.
        config_dir: A folder with more option files.
        with_classes: Whether there are classes of the user, which may take the name.
    """
    known = set(_top_names()) | group_names()
    for tree in _trees(key, config_dir):
        known |= {name for name, _ in leaf_options(top_name(key), tree)}
    if with_classes and top_name(key) in group_names():
        hint = explain_added_argument(key)
    else:
        hint = explain_other_choices(key) or did_you_mean(key, known)
    return f"; {hint}" if hint else ""


def choice_has(group: str, choice: str, key: str, config_dir: Path | None = None) -> bool:
    """Return whether a choice of a group has the option; unknown choices have every option."""
    tree = _read_choice(group, choice, config_dir)
    if tree is None or group == _PRESETS:
        return True
    # Typed groups such as quota have the options of their schema with every choice.
    return _reach(key, tree) or any(_reach(key, typed) for typed in _typed_trees(group))


def all_choices(group: str, config_dir: Path | None = None) -> list[str]:
    """Return the choices of a group, with those of a folder of the user."""
    own = (path.stem for path in (config_dir / group).glob("*.yaml")) if config_dir else ()
    return sort_choices({*group_choices(group), *own})


def _trees(key: str, config_dir: Path | None) -> Iterator[Mapping[str, Any]]:
    """Yield the options below the first name of a key: of each schema and each option file."""
    group = top_name(key)
    yield from _typed_trees(group)
    if group in group_names() and group != _PRESETS:
        for choice in all_choices(group, config_dir):
            if (tree := _read_choice(group, choice, config_dir)) is not None:
                yield tree


@cache
def _typed_trees(name: str) -> Sequence[Mapping[str, Any]]:
    kinds = {_hints(command)[name] for command in SCHEMAS if name in _hints(command)}
    # A plain option is a tree without options below it: `_reach` ends at its name.
    return [_schema_tree(kind) for kind in kinds if kind is not Any]


@cache
def _hints(command: str) -> Mapping[str, Any]:
    return get_type_hints(SCHEMAS[command])


@cache
def _top_names() -> Sequence[str]:
    return sorted({name for command in SCHEMAS for name in _hints(command)})


def _schema_tree(kind: Any) -> Mapping[str, Any]:
    if not dataclasses.is_dataclass(kind):
        return {}
    hints = get_type_hints(kind)
    return {name: _schema_tree(hint) or None for name, hint in hints.items()}


def _read_choice(group: str, choice: str, config_dir: Path | None) -> Mapping[str, Any] | None:
    """Return the options that a choice's file sets, or None if only Hydra can tell them."""
    for folder in filter(None, (conf_dir(), config_dir)):
        path = folder / group / f"{choice}.yaml"
        if path.is_file():
            return _read_tree(path)
    return None


@cache
def _read_tree(path: Path) -> Mapping[str, Any] | None:
    from yaml import YAMLError

    try:
        text = path.read_text(encoding="utf-8")
        # A file that extends another file has its options, too.
        return None if "\ndefaults:" in f"\n{text}" else read_values(path)
    except (OSError, ValueError, AttributeError, YAMLError):
        return None


def _reach(key: str, tree: Mapping[str, Any]) -> bool:
    """Return whether a tree of options has the key; an empty mapping has any key."""
    names = key.lstrip("+~").split(".")[1:]
    if names and not tree:
        return False
    node: Any = tree
    for at, name in enumerate(names):
        if not isinstance(node, Mapping) or (at and not node):
            return isinstance(node, Mapping)
        if name not in node:
            return False
        node = node[name]
    return True


def _is_below_empty(key: str, tree: Mapping[str, Any]) -> bool:
    node: Any = tree
    for name in key.lstrip("+~").split(".")[1:]:
        if not isinstance(node, Mapping):
            return False
        if not node and node is not tree:
            return True
        node = node.get(name)
    return False


def _is_branch(key: str, tree: Mapping[str, Any]) -> bool:
    node: Any = tree
    for name in key.lstrip("+~").split(".")[1:]:
        node = node.get(name) if isinstance(node, Mapping) else None
    # The keys of a table such as prices by model id are no options.
    return isinstance(node, Mapping) and bool(node) and _are_names(node)


def _are_names(keys: Iterable[Any]) -> bool:
    return all(str(key).isidentifier() for key in keys)
