"""conf/ as a person reads it: what a file says of itself, its comments, its groups and choices."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from raypipe.config import build as config
from raypipe.core.options import SCALES

_PACKAGE = "# @package"


def header(path: Path) -> list[str]:
    """Return the comment that a file begins with: what it is for, then examples or more."""
    lines = path.read_text(encoding="utf-8").splitlines()
    if lines and lines[0].startswith(_PACKAGE):
        del lines[0]
    end = next((at for at, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return [line.removeprefix("#").strip() for line in lines[:end]]


def comments(path: Path) -> dict[str, str]:
    """Return the comment above each key of a file, by the key's whole name.

    The comment that the file begins with belongs to no key.
    """
    found: dict[str, str] = {}
    parents: list[tuple[int, str]] = []
    lines = path.read_text(encoding="utf-8").splitlines()
    start = next((at for at, line in enumerate(lines) if not line.startswith("#")), len(lines))
    above: list[str] = []
    for line in lines[start:]:
        text = line.strip()
        key, colon, _ = text.partition(":")
        if text.startswith("#"):
            above.append(text.removeprefix("#").strip())
            continue
        if colon and not text.startswith("-"):
            depth = len(line) - len(line.lstrip())
            parents = [parent for parent in parents if parent[0] < depth] + [(depth, key)]
            if above:
                found[".".join(name for _, name in parents)] = " ".join(above)
        above = []
    return found


def values(path: Path) -> dict[str, Any]:
    """Return what a file sets, without Hydra's own keys."""
    loaded = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    return {key: value for key, value in loaded.items() if key not in ("defaults", "hydra")}


def sources(command: str) -> list[Path]:
    """Return the files that a command's own options stand in: shared ones, then its own."""
    return list(_sources(config.conf_dir() / f"{command}.yaml"))


def _sources(path: Path) -> Iterator[Path]:
    for entry in _defaults(path):
        if isinstance(entry, str):
            shared = config.conf_dir() / f"{entry.lstrip('/')}.yaml"
            if shared.is_file():
                yield from _sources(shared)
    yield path


def groups(command: str) -> dict[str, str]:
    """Return a command's groups and the choice that each has by default."""
    entries = [entry for path in sources(command) for entry in _defaults(path)]
    return {
        group.removeprefix("/"): str(choice)
        for entry in entries
        if isinstance(entry, Mapping)
        for group, choice in entry.items()
        if not group.startswith("override ")
    }


def choices(group: str) -> list[str]:
    """Return the options of a group that come with raypipe."""
    return ordered(path.stem for path in (config.conf_dir() / group).glob("*.yaml"))


def ordered(names: Iterable[str]) -> list[str]:
    """Return options as a person looks for them: presets by size, the rest by name."""
    sizes = list(SCALES)
    return sorted(names, key=lambda name: (sizes.index(name) if name in sizes else -1, name))


def _defaults(path: Path) -> list[Any]:
    loaded = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    return list(loaded.get("defaults", []))


def leaves(name: str, value: object) -> Iterator[tuple[str, object]]:
    """Yield each option below a name with its value.

    A table, whose keys are no option names (ids of models), is one option.
    """
    if isinstance(value, Mapping) and not all(str(key).isidentifier() for key in value):
        yield name, f"{len(value)} entries"
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from leaves(f"{name}.{key}" if name else str(key), inner)
    else:
        yield name, value


def shown(value: object) -> str:
    """Return a value as a person would type it."""
    if isinstance(value, list):
        return f"[{','.join(map(shown, value))}]"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str) and "\n" in value:
        return "..."  # a prompt: its file is the place to read it
    return str(value) if value != "" else "''"
