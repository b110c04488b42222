"""The text of `raypipe --help`; `raypipe.cli.command_help` makes that of `raypipe COMMAND --help`.

Nothing is imported here, so `raypipe --help` answers at once.
"""

from __future__ import annotations

from collections.abc import Mapping


def format_program_help(commands: Mapping[str, str]) -> str:
    """Return the text of `raypipe --help`.

    Args:
        commands: Each command and its description.
    """
    lines = [f"  {name:<8} {description}" for name, description in commands.items()]
    return "\n".join(
        [
            "raypipe turns a bucket of books into a search index.",
            "",
            "Usage: raypipe [COMMAND] [option=value ...]",
            "",
            *lines,
            "",
            "raypipe COMMAND --help lists the options of a command; --cfg job prints their values.",
            'Tab completion: eval "$(raypipe -sc install=bash)"',
        ]
    )
