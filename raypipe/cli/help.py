"""What `raypipe COMMAND --help` says, read from conf/ so that it is never out of date."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from raypipe.cli.config_docs import comments, header, leaves, ordered, shown, sources
from raypipe.config import build as config

_WIDTH = 100
_COLUMN = 34


def describe(command: str, cfg: DictConfig) -> str:
    """Return what a command does, its groups with their choices, and its options with values.

    Args:
        command: The command.
        cfg: Its config as composed from what was typed, inside a Hydra job.
    """
    primary = config.conf_dir() / f"{command}.yaml"
    about, *examples = header(primary)
    groups = {
        group: choice
        for group, choice in reversed(HydraConfig.get().runtime.choices.items())
        if not group.startswith("hydra/")
    }
    choose = " [GROUP=CHOICE ...]" if groups else ""
    lines = [about, "", f"Usage: raypipe {command}{choose} [OPTION=VALUE ...]"]
    lines += [f"  {example}" for example in examples]
    if groups:
        lines += ["", "Groups, [chosen]:"]
        lines += [_group(group, choice) for group, choice in groups.items()]
    said = {name: text for path in sources(command) for name, text in comments(path).items()}
    values = config.plain(cfg, resolve=False)
    own = [line for key in values if key in said for line in _options(key, values, said)]
    if own:
        lines += ["", "Options, =value now:", *own]
    parts = [line for key in values if key not in said for line in _part(key, values[key])]
    if parts:
        lines += ["", "Options of what is chosen:", *parts]
    lines += [
        "",
        "--cfg job prints it all as YAML, no run; --config-dir DIR adds your files;",
        "-m option=a,b runs one job for each value, one after another.",
    ]
    return "\n".join(lines)


def _group(group: str, choice: object) -> str:
    names = GlobalHydra.instance().config_loader().get_group_options(group)
    marked = " ".join(f"[{name}]" if name == choice else name for name in ordered(names))
    return f"  {group:<{_COLUMN - 2}}{marked}"


def _options(key: str, values: Mapping[Any, Any], said: Mapping[str, str]) -> Iterator[str]:
    for name, value in leaves(key, values[key]):
        set_now = textwrap.shorten(f"{name}={shown(value)}", 60, placeholder=" ...")
        indent = " " * _COLUMN
        about = textwrap.wrap(
            said.get(name, said[key]),
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
        f"{key.removeprefix(name).lstrip('.')}={shown(value)}"
        for key, value in leaves(name, settings)
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
