"""The text of `raypipe COMMAND --help`, made of the comments in `conf/` and the composed config."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from raypipe.cli.help_text.config_comments import (
    command_files,
    format_value,
    leaf_options,
    read_comments,
    read_header,
    sort_choices,
)
from raypipe.config.build import to_plain
from raypipe.config.paths import conf_dir
from raypipe.core.printable import join_lines

_WIDTH = 100
_COLUMN = 34


def format_command_help(command: str, cfg: DictConfig) -> str:
    """Return the help of a command: its purpose, groups with choices, and options with values.

    Call it inside a Hydra job, since Hydra knows the choices of the groups there.

    Args:
        command: The command.
        cfg: Its config, composed from the command line.
    """
    purpose, *examples = read_header(conf_dir() / f"{command}.yaml")
    groups = {
        group: choice
        for group, choice in reversed(HydraConfig.get().runtime.choices.items())
        if not group.startswith("hydra/")
    }
    group_usage = " [GROUP=CHOICE ...]" if groups else ""
    lines = [purpose, "", f"Usage: raypipe {command}{group_usage} [OPTION=VALUE ...]"]
    lines += [f"  {example}" for example in examples]
    if groups:
        lines += ["", "Groups, with the current choice in brackets:"]
        lines += [_format_group(group, choice) for group, choice in groups.items()]
    files = command_files(command)
    comments = {name: text for path in files for name, text in read_comments(path).items()}
    values = to_plain(cfg, resolve=False)
    own = [
        line
        for key in values
        if key in comments
        for line in _format_options(key, values[key], comments)
    ]
    if own:
        lines += ["", "Options, with their current values:", *own]
    parts = [
        line for key in values if key not in comments for line in _format_part(key, values[key])
    ]
    if parts:
        lines += ["", "Options of the current choices:", *parts]
    lines += [
        "",
        "--cfg job prints the whole config as YAML, without a run; --config-dir DIR adds your own",
        "option files; -m option=a,b runs one job for each value, one after another.",
        "--settings FILE (or none) replaces raypipe.yaml; profile=NAME chooses a profile in it.",
    ]
    return join_lines(lines)


def _format_group(group: str, current: object) -> str:
    choices = GlobalHydra.instance().config_loader().get_group_options(group)
    names = (f"[{name}]" if name == current else name for name in sort_choices(choices))
    return f"  {group:<{_COLUMN - 2}}{' '.join(names)}"


def _format_options(key: str, value: Any, comments: Mapping[str, str]) -> Iterator[str]:
    """Yield the lines of each option below a key: `name=value`, then its comment, wrapped."""
    indent = " " * _COLUMN
    for name, leaf in leaf_options(key, value):
        setting = textwrap.shorten(f"{name}={format_value(leaf)}", 60, placeholder=" ...")
        comment = textwrap.wrap(
            comments.get(name, comments[key]),
            _WIDTH,
            initial_indent=indent,
            subsequent_indent=indent,
        )
        if len(setting) < _COLUMN - 2:
            comment[0] = f"  {setting:<{_COLUMN - 2}}{comment[0].strip()}"
        else:
            yield f"  {setting}"
        yield from comment


def _format_part(name: str, settings: object) -> list[str]:
    """Return the settings of a part as `name=value` pairs, without comments; none for no part."""
    pairs = [
        f"{key.removeprefix(name).lstrip('.')}={format_value(value)}"
        for key, value in leaf_options(name, settings)
        if not key.endswith("_target_") and not str(value).startswith("${")
    ]
    return textwrap.wrap(
        " ".join(pairs),
        _WIDTH,
        initial_indent=f"  {name + '.':<{_COLUMN - 2}}",
        subsequent_indent=" " * _COLUMN,
        break_long_words=False,
        break_on_hyphens=False,
    )
