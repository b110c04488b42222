"""What the pages of commands and of options say about each command."""

from __future__ import annotations

from collections.abc import Iterator

from raypipe.cli.help_text.config_comments import read_header
from raypipe.cli.help_text.program import COMMANDS
from raypipe.config.paths import conf_dir
from tests.generated_pages.markdown import capitalize, format_table


def format_commands() -> Iterator[str]:
    """Yield the table of all commands, with links to their sections."""
    rows = ((f"[`{name}`](#raypipe-{name})", text) for name, text in COMMANDS.items())
    return format_table(("command", "what it does"), rows)


def begin_section(command: str) -> Iterator[str]:
    """Yield the heading of a command, its purpose and its examples."""
    purpose, *examples = read_header(conf_dir() / f"{command}.yaml")
    yield f"## raypipe {command}"
    yield ""
    yield capitalize(purpose.partition(": ")[2])
    if examples:
        yield from ("", "```sh", *examples, "```")
