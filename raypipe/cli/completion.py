"""Tab completion: Hydra's own, with the command word in front of it."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

from raypipe.cli.config_docs import groups
from raypipe.config import build as config
from raypipe.core.errors import OptionError

_ASK = "-sc"
_PROGRAM = "raypipe"
_OFFERED = ("--cfg", "--config-dir", "--help", "--info", "--multirun", "--package", "--resolve")
_OVERRIDE = re.compile(r"(\+{1,2}|~)?[\w./@-]+=")


def complete(args: Sequence[str], commands: Sequence[str]) -> str:
    """Return what `raypipe -sc install=bash`, or the question that a shell asks by it, prints.

    A shell asks at each press of the key: what it cannot use is better nothing than a message.

    Args:
        args: The command line behind the program's name.
        commands: All command words.

    Raises:
        OptionError: It is neither install, uninstall nor query, or of no known shell.
    """
    asked = next((arg for arg in args if "=" in arg), "")
    verb, _, shell = asked.partition("=")
    if verb not in ("install", "uninstall", "query") or shell not in ("bash", "zsh", "fish"):
        raise OptionError(
            f'{asked or args[0]}: write eval "$(raypipe -sc install=bash)", or install=zsh; '
            "for fish: raypipe -sc install=fish | source"
        )
    if verb != "query":
        return _hydra(commands[0], [_ASK, asked])
    line = os.environ.get("COMP_LINE", "")
    try:
        found = candidates(line[: _cursor(line)], commands, shell)
    except (Exception, SystemExit):  # half a line may be wrong in any way
        return ""
    return ("\n" if shell == "fish" else " ").join(found)


def _cursor(line: str) -> int:
    """Return where the cursor is: the shell looks for what fits the word before it."""
    point = os.environ.get("COMP_POINT", "")
    return int(point) if point.isdigit() else len(line)


def candidates(line: str, commands: Sequence[str], shell: str = "bash") -> list[str]:
    """Return what could stand where a line ends.

    Args:
        line: What was typed so far, the program's name included.
        commands: All command words; the first is meant where none is typed.
        shell: Who asks.
    """
    words = line.split()[1:]
    word = "" if not words or line[-1:].isspace() else words.pop()
    if word.startswith("-"):
        return [flag for flag in _OFFERED if flag.startswith(word)]
    found = [] if words else [name for name in commands if name.startswith(word)]
    if not words and not word:
        return found
    command = words.pop(0) if words and words[0] in commands else commands[0]
    # The plain words of a search, and half of what stands in quotes, are no options.
    before = [one for one in words if one in ("-m", "--multirun") or _OVERRIDE.match(one)]
    os.environ["COMP_LINE"] = " ".join([_PROGRAM, *before, word])
    said = _hydra(command, [_ASK, f"query={shell}"]).split()
    return [*found, *_of(command, word, said)]


def _of(command: str, word: str, said: Iterable[str]) -> list[str]:
    """Leave out groups of other commands, and Hydra's own options until they are asked for."""
    folders = {path.name for path in config.conf_dir().iterdir() if path.is_dir()}
    foreign = folders - set(groups(command))
    if word.lstrip("+~").startswith("hydra"):
        foreign.discard("hydra")
    named = [one for one in said if "_target_" not in one]
    return [one for one in named if re.split(r"[=./]", one.lstrip("+~"))[0] not in foreign]


def _hydra(command: str, args: Sequence[str]) -> str:
    """Return what Hydra prints for a command's config."""
    import hydra

    sys.argv = [_PROGRAM, *args]
    config.register()

    def nothing(cfg: Any) -> None:
        """Hydra wants a task; completion never runs it."""

    decorate: Any = hydra.main(
        version_base="1.3", config_path=str(config.conf_dir()), config_name=command
    )
    printed = io.StringIO()
    with redirect_stdout(printed), redirect_stderr(io.StringIO()):
        decorate(nothing)()
    return printed.getvalue().strip("\n")
