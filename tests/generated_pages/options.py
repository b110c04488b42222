"""Generate docs/options.md, the page of all options, from `conf/`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from raypipe.cli.help_text.config_comments import (
    command_files,
    default_choices,
    format_value,
    group_choices,
    included_files,
    leaf_options,
    read_comments,
    read_header,
    read_values,
)
from raypipe.cli.help_text.program import COMMANDS
from raypipe.config.paths import conf_dir
from tests.generated_pages.command_parts import begin_section, format_commands
from tests.generated_pages.markdown import format_table

_INTRO = """\
# Options

Generated from `conf/` by `make docs`: edit the config files, not this page.

`raypipe COMMAND GROUP=CHOICE OPTION=VALUE`: a choice selects a file with its own options, a value
changes an option. `raypipe COMMAND --help` shows the options and values of a command line,
`--cfg job` prints them as YAML, and `-m OPTION=A,B` runs one job for each value. An option with the
default `???` must be given.

A value that Hydra's grammar can read has Hydra's meaning: `5`, `true`, `null`, a list `[a,b]`, a
mapping `{a: 1}`, a reference `${...}`, and text in quotes, `"'5'"` in a shell. JSON lists and
mappings work, too. Any other value is taken as text, as the shell passes it:
`storage.path='/data/Bücher (alt)/a=b,#1~'`. Without `-m`, so is a value with commas. `~` at the
beginning of a path is the home folder."""


def format_page() -> str:
    """Return the page as Markdown."""
    choices_of = {command: default_choices(command) for command in COMMANDS}
    groups = list(dict.fromkeys(group for choices in choices_of.values() for group in choices))
    lines = [_INTRO, *format_commands()]
    rows = []
    for group in groups:
        commands = " ".join(f"`{name}`" for name, choices in choices_of.items() if group in choices)
        links = " ".join(f"[`{choice}`](#{group}{choice})" for choice in group_choices(group))
        rows.append((f"`{group}`", links, commands))
    lines += format_table(("group", "choices", "commands"), rows)
    for command in COMMANDS:
        lines += ["", *_command_section(command)]
    for group in groups:
        for choice in group_choices(group):
            lines += ["", *_choice_section(group, choice)]
    return "\n".join(lines) + "\n"


def _command_section(command: str) -> Iterator[str]:
    yield from begin_section(command)
    if choices := default_choices(command):
        yield ""
        yield f"Groups: {', '.join(f'`{group}={choice}`' for group, choice in choices.items())}."
    yield from _table([row for path in command_files(command) for row in _rows([path], "")])


def _choice_section(group: str, choice: str) -> Iterator[str]:
    path = conf_dir() / group / f"{choice}.yaml"
    # The file of a preset sets options of the whole config; other files set options of their group.
    is_global = path.read_text(encoding="utf-8").startswith("# @package _global_")
    yield f"## {group}={choice}"
    yield ""
    yield " ".join(read_header(path))
    yield from _table(list(_rows(included_files(path), "" if is_global else group)))


def _rows(files: Sequence[Path], group: str) -> Iterator[tuple[str, str, str]]:
    """Yield name, default and comment of each option; a later file replaces earlier values."""
    comments: dict[str, str] = {}
    values: dict[str, object] = {}
    for path in files:
        comments |= read_comments(path)
        values |= dict(leaf_options("", read_values(path)))
    for name, value in values.items():
        if name.endswith("_target_") or str(value).startswith("${"):
            continue
        # The comment above a mapping explains its only key, too.
        comment = comments.get(name) or comments.get(name.rpartition(".")[0], "")
        yield f"{group}.{name}" if group else name, format_value(value), comment


def _table(rows: list[tuple[str, str, str]]) -> Iterator[str]:
    cells = ((f"`{option}`", f"`{default}`", comment) for option, default, comment in rows)
    return format_table(("option", "default", ""), cells)
