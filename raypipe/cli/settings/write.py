"""Write a settings file: the given options, each with the comment of its option in `conf/`."""

from __future__ import annotations

import os
import re
import tempfile
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from raypipe.cli.help_text.config_comments import (
    command_files,
    default_choices,
    read_comments,
    read_header,
)
from raypipe.cli.settings import option_names
from raypipe.cli.settings.yaml_text import read_plain
from raypipe.config.paths import conf_dir
from raypipe.config.schema import SCHEMAS
from raypipe.core.errors import OptionError

_WIDTH = 98
_PLAIN = re.compile(r"[A-Za-z0-9_/](?:[\w./+-]|:(?=[\w/]))*", re.ASCII)

_TOP = """\
# Settings of raypipe: every command that is started in this folder reads them, each the options
# that it has. A line is an option of the command line, with `: ` instead of `=`; the command line
# wins. `raypipe settings` shows each value and where it comes from.
# No secrets: passwords, tokens and keys come from the environment.
"""

_SUGGESTED = {
    "storage": "s3",
    "summarizer": "bedrock",
    "embedder": "wordllama",
    "opensearch": "self_managed",
    "state.uri": "s3://my-books/raypipe",
    "quota.tokens_per_minute": 1_000_000,
    "budget.max_usd": 200,
}
"""Options that most users set, with examples; they are written as comments."""

_PROFILES = """\
# Options of a profile replace those above: `raypipe run profile=trial`.
# profiles:
#   trial:
#     limit: 10
#     opensearch: none
"""


def format_settings(options: Mapping[str, Any], config_dir: str = "") -> str:
    """Return the text of a settings file.

    Args:
        options: Value of each option, by its full name.
        config_dir: Folder with option files of the user, relative to the file; '' for none.
    """
    given = {name.lstrip("+"): value for name, value in options.items()}
    blocks = [_TOP]
    if config_dir:
        comment = "Folder with your own option files; modules beside this file can be imported."
        blocks.append(_block(comment, f"config_dir: {format_yaml(config_dir)}"))
    blocks += [
        _block(_comment(name.lstrip("+"), given), f"{name}: {format_yaml(value)}")
        for name, value in options.items()
    ]
    blocks += [
        _block(_comment(name, {**given, name: example}), f"# {name}: {format_yaml(example)}")
        for name, example in _SUGGESTED.items()
        if name not in given
    ]
    return "\n".join([*blocks, _PROFILES])


def write_settings(path: Path, text: str, *, force: bool) -> None:
    """Write a settings file that only the user can read and change.

    Raises:
        OptionError: The file exists, or cannot be written.
    """
    try:
        if force:
            _replace(path, text)
            return
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise OptionError(f"{path} exists already. Fix: edit it, or add force=true") from None
    except OSError as error:
        raise OptionError(f"{path} cannot be written: {error.strerror}") from None


def _replace(path: Path, text: str) -> None:
    """Replace a file as a whole: a command that reads it meanwhile never sees half of it."""
    # mkstemp gives the mode 0600.
    descriptor, temporary = tempfile.mkstemp(dir=path.absolute().parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def format_yaml(value: Any) -> str:
    """Return a value as YAML on one line, which `YamlText` reads back unchanged."""
    if isinstance(value, Mapping):
        pairs = (f"{format_yaml(str(key))}: {format_yaml(item)}" for key, item in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(format_yaml, value))}]"
    if isinstance(value, str):
        is_plain = _PLAIN.fullmatch(value) and read_plain(value) == value
        return value if is_plain else _quote(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value)


def _quote(text: str) -> str:
    dumped = yaml.safe_dump(text, default_style='"', allow_unicode=True, width=float("inf"))
    return str(dumped).strip()


def _block(comment: str, line: str) -> str:
    wrapped = textwrap.wrap(comment, _WIDTH, initial_indent="# ", subsequent_indent="# ")
    return "\n".join([*wrapped, line, ""])


def _comment(name: str, options: Mapping[str, Any]) -> str:
    """Return what `conf/` says about an option: the purpose of a choice, or a comment."""
    if name in option_names.group_names():
        choice = options.get(name, "")
        path = conf_dir() / name / f"{choice}.yaml"
        purpose = " ".join(read_header(path)) if path.is_file() else ""
        choices = ", ".join(option_names.all_choices(name))
        return f"{purpose} Choices: {choices}.".strip()
    return next(_comments(name, options), "")


def _comments(name: str, options: Mapping[str, Any]) -> Iterator[str]:
    group, _, rest = name.partition(".")
    for command in SCHEMAS:
        if not option_names.takes(command, name):
            continue
        choice = options.get(group, default_choices(command).get(group))
        path = conf_dir() / group / f"{choice}.yaml"
        if path.is_file() and rest:
            yield from _comment_of(path, rest)
        for shared in command_files(command):
            yield from _comment_of(shared, name)


def _comment_of(path: Path, name: str) -> Sequence[str]:
    comments = read_comments(path)
    # The comment above a mapping explains its only key, too.
    comment = comments.get(name) or comments.get(name.rpartition(".")[0], "")
    return [comment] if comment else []
