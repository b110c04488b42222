"""Read the documentation in `conf/`: header comments, comments of options, groups and choices.

`--help` and `docs/options.md` are made of it, so a comment in `conf/` is the place to explain an
option.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from raypipe.config.paths import conf_dir
from raypipe.core.stage_options import SCALES

_PACKAGE = "# @package"


def read_header(path: Path) -> list[str]:
    """Return the comment lines at the top of a file: its purpose, then examples or details."""
    lines = path.read_text(encoding="utf-8").splitlines()
    if lines and lines[0].startswith(_PACKAGE):
        del lines[0]
    return [line.removeprefix("#").strip() for line in lines[: _header_end(lines)]]


def read_comments(path: Path) -> dict[str, str]:
    """Return the comment above each key of a file, by the full name of the key.

    The header comment belongs to no key.
    """
    comments: dict[str, str] = {}
    parents: list[tuple[int, str]] = []
    lines = path.read_text(encoding="utf-8").splitlines()
    pending: list[str] = []
    for line in lines[_header_end(lines) :]:
        text = line.strip()
        key, colon, _ = text.partition(":")
        if text.startswith("#"):
            pending.append(text.removeprefix("#").strip())
            continue
        if colon and not text.startswith("-"):
            depth = len(line) - len(line.lstrip())
            parents = [parent for parent in parents if parent[0] < depth] + [(depth, key)]
            if pending:
                comments[".".join(name for _, name in parents)] = " ".join(pending)
        pending = []
    return comments


def _header_end(lines: list[str]) -> int:
    return next((at for at, line in enumerate(lines) if not line.startswith("#")), len(lines))


def read_values(path: Path) -> dict[str, Any]:
    """Return the values that a file sets, without Hydra's own keys."""
    return {k: v for k, v in _load(path).items() if k not in ("defaults", "hydra")}


def command_files(command: str) -> list[Path]:
    """Return the files with a command's own options: shared files first, then its own."""
    return included_files(conf_dir() / f"{command}.yaml")


def included_files(path: Path) -> list[Path]:
    """Return the files that a config file includes by name, then the file itself.

    Group choices in the defaults list are not followed.
    """
    files: list[Path] = []
    for entry in _defaults(path):
        if isinstance(entry, str):
            shared = conf_dir() / f"{entry.lstrip('/')}.yaml"
            if shared.is_file():
                files += included_files(shared)
    return [*files, path]


def default_choices(command: str) -> dict[str, str]:
    """Return a command's groups and the default choice of each."""
    entries = [entry for path in command_files(command) for entry in _defaults(path)]
    return {
        group.removeprefix("/"): str(choice)
        for entry in entries
        if isinstance(entry, Mapping)
        for group, choice in entry.items()
        if not group.startswith("override ")
    }


def group_choices(group: str) -> list[str]:
    """Return the choices of a group that raypipe ships."""
    return sort_choices(path.stem for path in (conf_dir() / group).glob("*.yaml"))


def sort_choices(names: Iterable[str]) -> list[str]:
    """Sort choices for a reader: presets by size, other choices by name."""
    sizes = list(SCALES)
    return sorted(names, key=lambda name: (sizes.index(name) if name in sizes else -1, name))


def leaf_options(name: str, value: object) -> Iterator[tuple[str, object]]:
    """Yield the full name and the value of each option below a name.

    A table whose keys are not identifiers, such as prices by model id, counts as one option.
    """
    if isinstance(value, Mapping) and not all(str(key).isidentifier() for key in value):
        yield name, f"{len(value)} entries"
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from leaf_options(f"{name}.{key}" if name else str(key), inner)
    else:
        yield name, value


def format_value(value: object) -> str:
    """Return a value as it is typed on a command line."""
    if isinstance(value, list):
        return f"[{','.join(map(format_value, value))}]"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str) and "\n" in value:
        return "..."  # a prompt; it is readable only in its file
    return str(value) if value != "" else "''"


def _defaults(path: Path) -> list[Any]:
    return list(_load(path).get("defaults", []))


def _load(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}
