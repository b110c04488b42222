"""What `raypipe COMMAND --help` says, read from conf/ so that it is never out of date."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from raypipe import config

_WIDTH = 100
_COLUMN = 34


def describe(command: str, cfg: DictConfig) -> str:
    """Return what a command does, its groups with their choices, and its options with values.

    Args:
        command: The command.
        cfg: Its config as composed from what was typed, inside a Hydra job.
    """
    primary = config.conf_dir() / f"{command}.yaml"
    about, *examples = _header(primary)
    lines = [about, "", f"Usage: raypipe {command} [GROUP=CHOICE ...] [OPTION=VALUE ...]"]
    lines += [f"  {example}" for example in examples]
    groups = {
        group: choice
        for group, choice in reversed(HydraConfig.get().runtime.choices.items())
        if not group.startswith("hydra/")
    }
    if groups:
        lines += ["", "Groups, [chosen]:"]
        lines += [_group(group, choice) for group, choice in groups.items()]
    comments = _comments(primary)
    values = config.plain(cfg, resolve=False)
    own = [line for key in values if key in comments for line in _options(key, values, comments)]
    if own:
        lines += ["", "Options, =value now:", *own]
    parts = [line for key in values if key not in comments for line in _part(key, values[key])]
    if parts:
        lines += ["", "Options of what is chosen:", *parts]
    lines += ["", "--cfg job prints it all as YAML, no run; --config-dir DIR adds your files."]
    return "\n".join(lines)


def _header(path: Path) -> list[str]:
    """Return the comment that a primary config begins with: what it does, then examples."""
    lines = path.read_text(encoding="utf-8").splitlines()
    end = next(at for at, line in enumerate(lines) if not line.startswith("#"))
    return [line.removeprefix("#").strip() for line in lines[:end]]


def _group(group: str, choice: object) -> str:
    names = GlobalHydra.instance().config_loader().get_group_options(group)
    shown = " ".join(f"[{name}]" if name == choice else name for name in names)
    return f"  {group:<{_COLUMN - 2}}{shown}"


def _comments(path: Path) -> dict[str, str]:
    """Return the comment above each key of a YAML file, by the key's whole name."""
    comments: dict[str, str] = {}
    parents: list[tuple[int, str]] = []
    above: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        text = line.strip()
        key, colon, _ = text.partition(":")
        if text.startswith("#"):
            above.append(text.removeprefix("#").strip())
            continue
        if colon and not text.startswith("-"):
            depth = len(line) - len(line.lstrip())
            parents = [parent for parent in parents if parent[0] < depth] + [(depth, key)]
            if above:
                comments[".".join(name for _, name in parents)] = " ".join(above)
        above = []
    return comments


def _options(key: str, values: Mapping[Any, Any], comments: Mapping[str, str]) -> Iterator[str]:
    for name, value in _leaves(key, values[key]):
        set_now = textwrap.shorten(f"{name}={_shown(value)}", 60, placeholder=" ...")
        indent = " " * _COLUMN
        about = textwrap.wrap(
            comments.get(name, comments[key]),
            _WIDTH,
            initial_indent=indent,
            subsequent_indent=indent,
        )
        if len(set_now) < _COLUMN - 2:
            about[0] = f"  {set_now:<{_COLUMN - 2}}{about[0].strip()}"
            yield from about
        else:
            yield f"  {set_now}"
            yield from about


def _part(name: str, settings: object) -> list[str]:
    pairs = [
        f"{key.removeprefix(name).lstrip('.')}={_shown(value)}"
        for key, value in _leaves(name, settings)
        if not key.endswith("_target_") and not str(value).startswith("${")
    ]
    return textwrap.wrap(
        " ".join(pairs) or "(nothing to set)",
        _WIDTH,
        initial_indent=f"  {name + '.':<{_COLUMN - 2}}" if pairs else f"  {name:<{_COLUMN - 2}}",
        subsequent_indent=" " * _COLUMN,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _leaves(name: str, value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _leaves(f"{name}.{key}", inner)
    else:
        yield name, value


def _shown(value: object) -> str:
    """Return a value as a person would type it."""
    if isinstance(value, list):
        return f"[{','.join(map(_shown, value))}]"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return str(value) if value != "" else "''"
