"""Generate docs/reference/commands.md from the commands, their help texts and `conf/`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import raypipe
from raypipe.cli.help_text.config_comments import default_choices, group_choices
from raypipe.cli.help_text.program import COMMANDS
from raypipe.config.schema import SCHEMAS
from tests.generated_pages.command_parts import begin_section, format_commands
from tests.generated_pages.markdown import format_table, make_anchor

_INTRO = """\
# Commands

Generated from `raypipe/cli/help_text` and `conf/` by `make docs`: edit those, not this page.

The first word of a command line is the command. The other words are [Hydra](https://hydra.cc)
overrides: `raypipe run storage=local storage.path=my-books`. A command line without a command is a
`run`.

- `raypipe --help` lists the commands, and `raypipe run --help` the options of a command.
- `raypipe run --cfg job` prints the values of the options as YAML.
- `raypipe run -m embedder=hash,wordllama` runs one job for each value.
- `raypipe run --settings none` reads no [settings file](../guides/settings_file.md); `--settings
  FILE` reads that file, and `profile=NAME` chooses a profile in it.
- `raypipe run --config-dir DIR` adds your own option files to those of raypipe.
- `raypipe --version` prints the version.
- `eval "$(raypipe -sc install=bash)"` lets the tab key complete commands, groups and options.
- An error about a wrong option names the valid choices.

[Exit codes](exit_codes.md) are the same for all commands. [Options](../options.md) has every option
of every command."""

_GROUPS = """
## Groups

A group chooses a file of options: `storage=s3`. These groups have more than one choice."""


def format_page() -> str:
    """Return the page as Markdown."""
    lines = [_INTRO, *format_commands(), _GROUPS, *_groups_table()]
    for command in COMMANDS:
        lines += ["", *_command_section(command)]
    return "\n".join(lines) + "\n"


def _groups_table() -> Iterator[str]:
    defaults: dict[str, str] = {}
    for command in COMMANDS:
        defaults = default_choices(command) | defaults  # the first command is `run`
    rows = [
        (f"`{group}`", " ".join(_link(group, name) for name in group_choices(group)), f"`{choice}`")
        for group, choice in defaults.items()
        if len(group_choices(group)) > 1
    ]
    return format_table(("group", "choices", "default"), rows)


def _link(group: str, choice: str) -> str:
    return f"[`{choice}`](../options.md#{make_anchor(f'{group}={choice}')})"


def _command_section(command: str) -> Iterator[str]:
    yield from begin_section(command)
    groups = default_choices(command)
    names = [field.name for field in dataclasses.fields(SCHEMAS[command])]
    own = [name for name in names if name not in groups]
    yield ""
    if groups:
        yield f"- Groups: {_join(groups)}."
    yield f"- [Options](../options.md#raypipe-{command}): {_join(own)}."
    if command in raypipe.__all__:
        name = f"raypipe.{command}"
        yield f"- In Python: [`{name}`](python_api.md#{make_anchor(name)})."


def _join(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
