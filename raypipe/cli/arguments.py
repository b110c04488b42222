"""Prepare the arguments of a command for Hydra."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from raypipe.core.errors import OptionError

_OVERRIDE = re.compile(r"(\+{1,2}|~)?[A-Za-z_][\w./@-]*=|~[A-Za-z_]")
FLAGS_WITH_VALUE = (
    *("-c", "--cfg", "-p", "--package", "-cp", "--config-path", "-cn", "--config-name"),
    *("-cd", "--config-dir", "--experimental-rerun"),
)
SETTINGS_FLAG = "--settings"
MULTIRUN = ("-m", "--multirun")


def quote_query(args: Sequence[str]) -> list[str]:
    """Turn the plain words of a search into one quoted override, `query='...'`."""
    words: list[str] = []
    others: list[str] = []
    is_value = False
    for arg in args:
        if is_value or arg.startswith("-") or _OVERRIDE.match(arg):
            others.append(arg)
            is_value = arg in FLAGS_WITH_VALUE
        else:
            words.append(arg)
    return [*others, f"query={quote(' '.join(words))}"] if words else others


WORDS = {
    "state": (("action", "source", "target"), "raypipe state copy FROM TO"),
    "status": (("run",), "raypipe status RUN"),
    "report": (("run",), "raypipe report RUN"),
    "failures": (("kind",), "raypipe failures KIND"),
    "dashboards": (("folder",), "raypipe dashboards FOLDER"),
    "show": (("book",), "raypipe show KEY"),
}
"""Options that a command's plain words stand for, in order, and how to write them."""


def name_words(command: str, args: Sequence[str]) -> list[str]:
    """Turn the plain words of a command, as in `raypipe show KEY`, into quoted overrides.

    Raises:
        OptionError: There are more words than the command takes.
    """
    if command not in WORDS:
        return list(args)
    names, usage = WORDS[command]
    words: list[str] = []
    others: list[str] = []
    is_value = False
    for arg in args:
        is_word = not (is_value or arg.startswith("-") or _OVERRIDE.match(arg))
        (words if is_word else others).append(arg)
        is_value = not is_word and arg in FLAGS_WITH_VALUE
    if len(words) > len(names):
        advice = "with quotes around a word that has spaces"
        raise OptionError(f"{words[len(names)]!r}: write `{usage}`, {advice}")
    named = zip(names, words, strict=False)
    return [*others, *(f"{name}={quote(word)}" for name, word in named)]


def quote(text: str, *, is_reference: bool = False) -> str:
    r"""Quote a text for Hydra's grammar, and keep OmegaConf from interpolating `${`.

    Inside single quotes, `\'` is a quote, and backslashes are escapes only in front of a quote
    (hydra.cc, "Quoted values").

    Args:
        text: The text.
        is_reference: Whether `${...}` in it refers to another option.
    """
    if not is_reference:
        text = re.sub(r"(\\*)\$\{", lambda match: match[1] * 2 + r"\${", text)
    text = re.sub(r"(\\*)'", lambda match: match[1] * 2 + r"\'", text)
    trailing = len(text) - len(text.rstrip("\\"))
    return f"'{text}{chr(92) * trailing}'"


def move_flags_last(args: Sequence[str]) -> list[str]:
    """Move Hydra's flags behind the overrides: its parser accepts only one group of overrides."""
    flags: list[str] = []
    overrides: list[str] = []
    for arg in args:
        is_value = bool(flags) and flags[-1] in FLAGS_WITH_VALUE
        (flags if is_value or arg.startswith("-") else overrides).append(arg)
    return [*overrides, *flags]


def take_settings_flag(args: Sequence[str]) -> tuple[list[str], str | None]:
    """Return the arguments without `--settings FILE`, and the file; None without the flag.

    Raises:
        OptionError: The flag has no value.
    """
    rest: list[str] = []
    named: str | None = None
    waiting = list(args)
    while waiting:
        flag, equals, value = waiting.pop(0).partition("=")
        if flag != SETTINGS_FLAG:
            rest.append(f"{flag}{equals}{value}")
        elif equals:
            named = value
        elif waiting:
            named = waiting.pop(0)
        else:
            raise OptionError(f"{SETTINGS_FLAG} needs a file, or none for no settings file")
    return rest, named


def take_profile(args: Sequence[str]) -> tuple[list[str], str | None]:
    """Return the arguments without `profile=NAME`, and the last name; None without a name.

    Raises:
        OptionError: It has several names.
    """
    names = [arg.removeprefix("profile=") for arg in args if arg.startswith("profile=")]
    if names and "," in names[-1]:
        raise OptionError(f"profile={names[-1]}: give a single name")
    rest = [arg for arg in args if not arg.startswith("profile=")]
    return rest, names[-1].strip("'\"") if names else None


@contextmanager
def temporary_sweep_folder(args: Sequence[str]) -> Iterator[list[str]]:
    """Yield the arguments, with a temporary folder for the files that Hydra writes in a multirun.

    Without it, Hydra leaves a `multirun/` in the current folder, which raypipe never reads.
    """
    is_multirun = any(flag in args for flag in MULTIRUN)
    if not is_multirun or any("hydra.sweep.dir=" in arg for arg in args):
        yield list(args)
        return
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="raypipe-multirun-") as folder:
        yield [*args, f"hydra.sweep.dir={quote(folder)}", "hydra.sweep.subdir=."]
