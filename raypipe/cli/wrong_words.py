"""Refuse words and flags of a command line that raypipe does not know, with a suggestion."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

from raypipe.cli.arguments import FLAGS_WITH_VALUE
from raypipe.cli.help_text.program import COMMANDS
from raypipe.cli.legacy_flags import explain_legacy_flags
from raypipe.core.errors import OptionError
from raypipe.core.suggest import did_you_mean, find_close_names

_OTHER_WORDS: Mapping[str, str] = {
    "build": "run",
    "check": "verify",
    "clean": "gc",
    "config": "settings",
    "copy": "state copy",
    "backup": "state copy",
    "delete": "gc",
    "dry-run": "plan",
    "errors": "failures",
    "estimate": "plan",
    "find": "search",
    "health": "doctor",
    "html": "report",
    "history": "runs",
    "list": "plan",
    "ls": "plan",
    "options": "settings",
    "process": "run",
    "query": "search",
    "resume": "run",
    "start": "up",
    "stop": "down",
}
"""Names of commands in other programs, and the command here."""

_OTHER_FLAGS: Mapping[str, str] = {
    "--config": "--settings FILE",
    "--debug": "hydra.verbose=true",
    "--dry-run": "raypipe plan",
    "--json": "output=json",
    "--verbose": "hydra.verbose=true",
    "-v": "hydra.verbose=true",
    "-V": "--version",
}
"""Flags of other programs, and what to write here."""

_ASSIGNMENT = re.compile(r"['\"]*([A-Za-z_][\w.]*)\s*[=:]\s*(.*?)['\"]*", re.DOTALL)


def explain_command(word: str) -> str:
    """Return a line about a first word that is no command."""
    other = _OTHER_WORDS.get(word.lower())
    hint = f"did you mean {other}?" if other else did_you_mean(word, COMMANDS)
    choices = f"choose one of {', '.join(COMMANDS)}"
    return f"there is no command {word!r}; {hint}{' ' if hint else ''}{choices}"


def explain_word(command: str, args: Sequence[str], at: int) -> str:
    """Return a line about an argument that is not `option=value`.

    Args:
        command: The command.
        args: The arguments after it.
        at: Position of the argument.
    """
    word = args[at]
    problem = f"{word!r} cannot be read as option=value"
    following = args[at + 1 : at + 2]
    if word in COMMANDS:
        return f"{problem}: {word} is a command. Write a single command, before its options"
    if not word:
        return "an argument is empty; a variable on the command line may have no value"
    if word.startswith("s3://"):
        bucket, _, prefix = word.removeprefix("s3://").partition("/")
        more = f" storage.prefix={prefix}" if prefix else ""
        return f"{problem}; write storage=s3 storage.bucket={bucket}{more} for books in a bucket"
    if "=" not in word and ("/" in word or word in (".", "..")):
        return f"{problem}; write storage=local storage.path={word} for books in a folder"
    if word.endswith("=") or following in (["="], [":"]) or _ASSIGNMENT.fullmatch(word):
        return f"{problem}: {_explain_spaces(word, args[at + 1 : at + 3])}"
    return f"{problem}; {_explain_name(command, word)}"


def _explain_spaces(word: str, following: Sequence[str]) -> str:
    from raypipe.cli.settings import option_names

    match = _ASSIGNMENT.fullmatch(word)
    name, value = match.groups() if match else (word.rstrip(" ="), "")
    value = value or next((each for each in following if each not in ("=", ":")), "VALUE")
    if not option_names.is_option(name):
        return f"there is no option {name}{option_names.suggest(name)}"
    if name in option_names.group_names():
        choices = option_names.all_choices(name)
        close = find_close_names(value, choices)
        value = close[0] if close else "|".join(choices)
    return f"write {name}={value}"


def _explain_name(command: str, word: str) -> str:
    from raypipe.cli.settings import option_names

    groups = [
        group
        for group in sorted(option_names.group_names())
        if word in option_names.all_choices(group)
    ]
    if groups:
        return " or ".join(f"write {group}={word}" for group in groups)
    if option_names.is_option(word):
        return f"write {word}=VALUE"
    return f"see `raypipe {command} --help`{option_names.suggest(word) if word else ''}"


def check_flags(args: Sequence[str]) -> None:
    """Raise an error about a flag that Hydra does not know, without Hydra's usage text.

    Raises:
        OptionError: A flag is unknown, belongs to the replaced scripts, or has a wrong value.
    """
    from hydra._internal.utils import get_args_parser

    def fail(message: str) -> NoReturn:
        raise OptionError(f"{message}; see raypipe --help")

    if explanation := explain_legacy_flags(args):
        raise OptionError(explanation)
    parser: Any = get_args_parser()
    known = list(parser._option_string_actions)
    for flag, before in zip(args, ["", *args], strict=False):
        is_value = before in FLAGS_WITH_VALUE
        if flag.startswith("-") and not is_value and flag.partition("=")[0] not in known:
            raise OptionError(explain_flag(flag, known))
    parser.error = fail
    parser.parse_args(args)


def explain_flag(flag: str, known: Iterable[str]) -> str:
    """Return a line about a flag that raypipe does not know.

    Args:
        flag: The argument, with its value where it has one.
        known: The flags.
    """
    from raypipe.cli.settings import option_names

    name, equals, value = flag.partition("=")
    option = name.lstrip("-").replace("-", "_")
    problem = f"there is no flag {name}"
    if other := _OTHER_FLAGS.get(name):
        return f"{problem}; write {other}"
    if option and option_names.is_option(option):
        return f"{problem}: options have no dashes. Write {option}={value if equals else 'VALUE'}"
    if hint := did_you_mean(f"--{name.lstrip('-')}", known) if option else "":
        return f"{problem}; {hint}"
    hint = option_names.suggest(option) if option else ""
    return f"{problem}{hint}; see raypipe --help"
