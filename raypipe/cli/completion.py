"""Tab completion: Hydra completes groups and options, raypipe completes the command word."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

from raypipe.cli.arguments import SETTINGS_FLAG, take_profile, take_settings_flag
from raypipe.cli.help_text.config_comments import default_choices, format_value
from raypipe.cli.hydra_main import hydra_main
from raypipe.cli.settings.file import SettingsFile, read_settings
from raypipe.cli.settings.merge import merge_arguments
from raypipe.cli.settings.option_names import is_group
from raypipe.config.paths import conf_folders
from raypipe.core.errors import OptionError

_COMPLETE = "-sc"
_PROGRAM = "raypipe"
_FLAGS = (
    "--cfg",
    "--config-dir",
    "--help",
    "--info",
    "--multirun",
    "--package",
    "--resolve",
    SETTINGS_FLAG,
)
_ABOUT_SETTINGS = {"init": "force=", "settings": "output="}
"""Commands that take the options of another command, and their own option."""
_OVERRIDE = re.compile(r"(\+{1,2}|~)?[\w./@-]+=")


def complete(args: Sequence[str], commands: Sequence[str]) -> str:
    """Return what `raypipe -sc ACTION=SHELL` prints: a shell function, or the completions.

    The shell asks for completions with `query=SHELL` each time the tab key is pressed. Then an
    error message would appear in the middle of the typed line, so errors give no completions.

    Args:
        args: The command line after the program's name.
        commands: All command words.

    Raises:
        OptionError: The action is not install, uninstall or query, or the shell is unknown.
    """
    request = next((arg for arg in args if "=" in arg), "")
    action, _, shell = request.partition("=")
    if action not in ("install", "uninstall", "query") or shell not in ("bash", "zsh", "fish"):
        raise OptionError(
            f'{request or args[0]}: write eval "$(raypipe -sc install=bash)", or install=zsh; '
            "for fish: raypipe -sc install=fish | source"
        )
    if action != "query":
        return _run_hydra(commands[0], [_COMPLETE, request])
    line = os.environ.get("COMP_LINE", "")
    try:
        candidates = find_candidates(line[: _cursor(line)], commands, shell)
    except (Exception, SystemExit):  # an unfinished line can be wrong in any way
        return ""
    return ("\n" if shell == "fish" else " ").join(candidates)


def _cursor(line: str) -> int:
    """Return the position of the cursor: the shell completes the word before it."""
    point = os.environ.get("COMP_POINT", "")
    return int(point) if point.isdigit() else len(line)


def find_candidates(line: str, commands: Sequence[str], shell: str = "bash") -> list[str]:
    """Return the possible completions of the last word of a line.

    Args:
        line: The line up to the cursor, with the program's name.
        commands: All command words; the first is the default command.
        shell: The shell that asks: bash, zsh or fish.
    """
    words = line.split()[1:]
    word = "" if not words or line[-1:].isspace() else words.pop()
    if word.startswith("-"):
        return [flag for flag in _FLAGS if flag.startswith(word)]
    if words[-1:] == [SETTINGS_FLAG]:
        return []  # the shell completes file names
    words, named = take_settings_flag(words)
    matching = [] if words else [name for name in commands if name.startswith(word)]
    if words == ["state"] and "copy".startswith(word):
        matching = ["copy"]
    if not words and not word:
        return matching
    command = words.pop(0) if words and words[0] in commands else commands[0]
    if command in _ABOUT_SETTINGS:
        own, named = _ABOUT_SETTINGS[command], "none" if command == "init" else named
        if command == "settings" and not words:
            matching = [name for name in commands if name.startswith(word)]
        matching += [own] if own.startswith(word) else []
        command = words.pop(0) if words and words[0] in commands else commands[0]
    words, profile = take_profile(words)
    settings = _read_settings(named, profile)
    if settings is not None and settings.profiles and "profile=".startswith(word[:8]):
        values = [f"profile={name}" for name in settings.profiles]
        matching += [name for name in (values if "=" in word else ["profile="]) if word in name]
    # Hydra cannot read the plain words of a search, or half of a quoted value: leave them out.
    overrides = [arg for arg in words if arg in ("-m", "--multirun") or _OVERRIDE.match(arg)]
    choices, flags = _choices_of_settings(command, overrides, settings)
    os.environ["COMP_LINE"] = " ".join([_PROGRAM, *choices, *overrides, word])
    offered = _run_hydra(command, [_COMPLETE, f"query={shell}", *flags]).split()
    return list(dict.fromkeys([*matching, *_usable(command, word, offered)]))


def _read_settings(named: str | None, profile: str | None) -> SettingsFile | None:
    """Return the settings file, or None if it cannot be read: the options complete without it."""
    try:
        return read_settings(named, profile)
    except OptionError:
        return None


def _choices_of_settings(
    command: str, overrides: Sequence[str], settings: SettingsFile | None
) -> tuple[list[str], list[str]]:
    """Return the choices of a settings file, which decide the options, and its flags."""
    if settings is None:
        return [], []
    merged = merge_arguments(command, overrides, settings)
    choices = [
        f"{entry.name}={format_value(entry.value)}"
        for entry in merged.entries
        if is_group(command, entry.name)
    ]
    return choices, ["--config-dir", str(settings.config_dir)] if settings.config_dir else []


def _usable(command: str, word: str, offered: Iterable[str]) -> list[str]:
    """Return Hydra's completions without the groups of other commands and `_target_`.

    Hydra's own options are left out unless the word begins with `hydra`.
    """
    foreign = conf_folders() - set(default_choices(command))
    if word.lstrip("+~").startswith("hydra"):
        foreign.discard("hydra")
    names = [name for name in offered if "_target_" not in name]
    return [name for name in names if re.split(r"[=./]", name.lstrip("+~"))[0] not in foreign]


def _run_hydra(command: str, args: Sequence[str]) -> str:
    """Return what Hydra prints for a command's config."""
    sys.argv = [_PROGRAM, *args]

    def task(cfg: Any) -> None:
        """Do nothing: Hydra needs a task, but completion never calls it."""

    printed = io.StringIO()
    with redirect_stdout(printed), redirect_stderr(io.StringIO()):
        hydra_main(command)(task)()
    return printed.getvalue().strip("\n")
