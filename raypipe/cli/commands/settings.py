"""Show each option of a command, its value, and where the value comes from."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from raypipe.cli.help_text.config_comments import format_value, leaf_options
from raypipe.cli.help_text.program import COMMANDS
from raypipe.cli.hydra_main import run_hydra
from raypipe.cli.override_values import accept_text
from raypipe.cli.settings.file import FILE_NAME, read_settings
from raypipe.cli.settings.merge import MergedArguments, merge_arguments, place_of
from raypipe.config.build import to_plain
from raypipe.config.error_messages import find_invalid_choice
from raypipe.config.origins import override_key
from raypipe.core.errors import OptionError
from raypipe.core.exit_codes import OK
from raypipe.core.options import check_output
from raypipe.core.printable import escape_line, join_lines, to_json
from raypipe.core.redact import redact

DEFAULT = "default"
COMMAND_LINE = "command line"

_WITHOUT_OPTIONS = ("settings", "init")
_MAX_VALUE_CHARS = 60


def main(args: Sequence[str], settings_file: str | None, profile: str | None) -> int:
    """Print the settings of a command.

    Args:
        args: The command, the default command without it, and its options; `output=` is the
            format of the result.
        settings_file: Value of `--settings`; None if it was not given.
        profile: Value of `profile=`; None if it was not given.

    Raises:
        OptionError: An argument or the settings file is wrong.
    """
    words = [arg for arg in args if arg in COMMANDS and arg not in _WITHOUT_OPTIONS]
    command = words[0] if words else next(iter(COMMANDS))
    output = next((arg[7:] for arg in reversed(args) if arg.startswith("output=")), "text")
    _check_output(output)
    options = [arg for arg in args if arg not in words and not arg.startswith("output=")]
    settings = read_settings(settings_file, profile)
    merged = merge_arguments(command, accept_text(command, options), settings)
    if problem := find_invalid_choice(merged.typed):
        raise OptionError(problem)
    for note in merged.notes[1 if settings else 0 :]:
        print(escape_line(f"raypipe: {note}"), file=sys.stderr)
    run_hydra(merged, lambda cfg: print(_format(merged, cfg, output)))
    return OK


def _check_output(output: str) -> None:
    try:
        check_output(output)
    except ValueError as error:
        raise OptionError(str(error)) from None


def _format(merged: MergedArguments, cfg: Any, output: str) -> str:
    rows = list(_rows(merged, cfg))
    settings = merged.settings
    if output == "json":
        report = {
            "command": merged.command,
            "file": str(settings.path) if settings else None,
            "profile": settings.profile or None if settings else None,
            "settings": [
                {"option": name, "value": value, "origin": origin} for name, value, origin in rows
            ],
        }
        return to_json(report)
    profile = f", profile {settings.profile}" if settings and settings.profile else ""
    is_off = Path(FILE_NAME).exists()  # and not read: --settings none, or RAYPIPE_SETTINGS=none
    reason = f"{FILE_NAME} is switched off" if is_off else f"there is no {FILE_NAME} here"
    file = f"{settings.path}{profile}" if settings else f"none: {reason}"
    lines = [f"command   {merged.command}", f"settings  {file}", ""]
    texts = [(_shorten(f"{name}={format_value(value)}"), origin) for name, value, origin in rows]
    width = max((len(text) for text, _ in texts), default=0)
    return join_lines([*lines, *(f"{text:<{width}}  {origin}" for text, origin in texts)])


def _shorten(text: str) -> str:
    return text if len(text) <= _MAX_VALUE_CHARS else f"{text[: _MAX_VALUE_CHARS - 4]} ..."


def _rows(merged: MergedArguments, cfg: DictConfig) -> Iterator[tuple[str, Any, str]]:
    """Yield name, value and origin of each choice and each option, without secrets."""
    typed = [override_key(arg) for arg in merged.typed if "=" in arg]
    choices = {
        group: choice
        for group, choice in HydraConfig.get().runtime.choices.items()
        if not group.startswith("hydra/")
    }
    for group, choice in reversed(choices.items()):
        yield group, choice, _find_origin(merged, typed, group, is_choice=True)
    for name, value in leaf_options("", to_plain(cfg, resolve=False)):
        origin = _find_origin(merged, typed, name, is_choice=False)
        is_reference = str(value).startswith("${")  # it follows another option
        if origin != DEFAULT or not (is_reference or name.endswith("_target_")):
            yield name, redact(_resolve(cfg, name, value), name.rpartition(".")[2]), origin


def _resolve(cfg: DictConfig, name: str, value: object) -> object:
    """Return a text with its references resolved, and without the escapes of `${` as text."""
    if not isinstance(value, str) or "${" not in value:
        return value
    try:
        return OmegaConf.select(cfg, name)
    except OmegaConfBaseException:  # it refers to a value that is missing
        return value


def _find_origin(
    merged: MergedArguments, typed: Sequence[str], name: str, *, is_choice: bool
) -> str:
    """Return where a value comes from; a later origin replaces an earlier one."""
    groups = HydraConfig.get().runtime.choices

    def sets(key: str) -> bool:
        if is_choice:
            return key == name
        return key not in groups and (name == key or name.startswith(f"{key}."))

    if any(map(sets, typed)):
        return COMMAND_LINE
    return next((place_of(entry) for entry in merged.entries if sets(entry.name)), DEFAULT)
