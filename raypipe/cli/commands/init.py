"""Write the given options into a settings file."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from raypipe.cli.help_text.config_comments import default_choices, group_choices
from raypipe.cli.hydra_main import run_hydra
from raypipe.cli.local_services import check_parts
from raypipe.cli.override_values import accept_text
from raypipe.cli.settings import option_names
from raypipe.cli.settings.file import (
    FILE_NAME,
    OFF,
    SettingsFile,
    display_path,
    parse_settings,
    settings_path,
)
from raypipe.cli.settings.merge import MergedArguments, merge_arguments
from raypipe.cli.settings.parts import allow_own_parts
from raypipe.cli.settings.write import format_settings, write_settings
from raypipe.config.build import read_options
from raypipe.config.error_messages import explain, find_invalid_choice, find_missing_values
from raypipe.config.schema import SCHEMAS
from raypipe.core.errors import OptionError
from raypipe.core.exit_codes import OK
from raypipe.core.printable import join_lines

_AWS_HOSTS = {".es.amazonaws.com": "aws_managed", ".aoss.amazonaws.com": "aws_serverless"}
_CONFIG_DIR = ("--config-dir", "-cd")


def main(args: Sequence[str], settings_file: str | None, profile: str | None) -> int:
    """Check the options as the commands would, write the file, and print the next command.

    Args:
        args: The options, and `force=true` to replace a file.
        settings_file: Value of `--settings`; None if it was not given.
        profile: Value of `profile=`; None if it was not given.

    Raises:
        OptionError: An option is wrong, or the file exists.
    """
    if profile is not None:
        raise OptionError(f"profile={profile}: init writes no profiles; add them to the file")
    path = settings_path(settings_file)
    if path is None:
        raise OptionError(f"--settings {settings_file or OFF[1]}: init writes a file; name it")
    args, config_dir = _take_config_dir(args)
    options = _read_options(args)
    force = options.pop("force", False)
    if not isinstance(force, bool):
        raise OptionError(f"force={force} must be true or false")
    if path.exists() and not force:
        raise OptionError(f"{display_path(path)} exists already. Fix: edit it, or add force=true")
    if sys.stdin.isatty() and sys.stdout.isatty():
        options |= _ask(options)
    text = format_settings(options, _relative_to_file(config_dir, path))
    _check(text, path)
    write_settings(path, text, force=force)
    flag = "" if path == Path(FILE_NAME) else f" --settings {display_path(path)}"
    wrote = f"wrote {display_path(path)}, which every command reads; next, see what a run would do:"
    print(join_lines([wrote, f"  raypipe plan{flag}"]))
    return OK


def _take_config_dir(args: Sequence[str]) -> tuple[list[str], str]:
    rest, folder, waiting = [], "", list(args)
    while waiting:
        flag, equals, value = (arg := waiting.pop(0)).partition("=")
        if flag in _CONFIG_DIR:
            folder = value if equals else "".join(waiting[:1])
            waiting = waiting if equals else waiting[1:]
        elif arg.startswith("-"):
            raise OptionError(f"init has no flag {flag}; see raypipe init --help")
        else:
            rest.append(arg)
    return rest, folder


def _relative_to_file(config_dir: str, path: Path) -> str:
    """Return the folder as the file names it: relative to the file, if it lies beside it."""
    if not config_dir:
        return ""
    folder, parent = Path(config_dir).resolve(), path.resolve().parent
    return str(folder.relative_to(parent) if folder.is_relative_to(parent) else folder)


def _read_options(args: Sequence[str]) -> dict[str, Any]:
    """Return the value of each option that was typed.

    Raises:
        OptionError: An argument is not a single `option=value`.
    """
    if problem := find_invalid_choice(args):
        raise OptionError(problem)
    parser = OverridesParser.create()
    options: dict[str, Any] = {}
    for arg, accepted in zip(args, accept_text("init", args), strict=True):
        override = parser.parse_override(accepted)
        if override.is_delete() or override.is_sweep_override() or override.package:
            raise OptionError(f"{arg}: a settings file holds a single value for each option")
        options[f"{_prefix(override)}{override.key_or_group}"] = _plain(override.value())
    return options


def _prefix(override: Override) -> str:
    return "++" if override.is_force_add() else "+" if override.is_add() else ""


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _ask(options: Mapping[str, Any]) -> dict[str, Any]:
    """Ask for the most important options that were not given; an empty answer is the default."""
    groups = {option_names.top_name(name) for name in options}
    answers: dict[str, Any] = {}
    try:
        for group, question in _QUESTIONS.items():
            if group not in groups:
                answers |= question(group)
    except (EOFError, KeyboardInterrupt):
        raise OptionError("nothing was written: the questions were not answered") from None
    return answers


def _ask_bucket(_: str) -> dict[str, Any]:
    bucket = input("S3 bucket with the books [the sample books]: ").strip()
    return {"storage": "s3", "storage.bucket": bucket} if bucket else {}


def _ask_endpoint(_: str) -> dict[str, Any]:
    endpoint = input("URL of OpenSearch [a node on this machine]: ").strip()
    if not endpoint:
        return {}
    host = urlsplit(endpoint).hostname or ""
    kinds = (kind for suffix, kind in _AWS_HOSTS.items() if host.endswith(suffix))
    return {"opensearch": next(kinds, "self_managed"), "opensearch.endpoint": endpoint}


def _ask_choice(group: str) -> dict[str, Any]:
    default = default_choices("run")[group]
    choices = group_choices(group)
    answer = input(f"{group} ({', '.join(choices)}) [{default}]: ").strip() or default
    if answer not in choices:
        raise OptionError(f"{group}={answer}: choose one of {', '.join(choices)}")
    return {group: answer}


_QUESTIONS = {
    "storage": _ask_bucket,
    "opensearch": _ask_endpoint,
    "summarizer": _ask_choice,
    "embedder": _ask_choice,
}


def _check(text: str, path: Path) -> None:
    """Check the text of a settings file with each kind of command that reads it.

    Raises:
        OptionError: An option is wrong.
    """
    try:
        settings = parse_settings(text, path)
    except OptionError as error:
        # The line belongs to a file that does not exist yet.
        raise OptionError(re.sub(r"^\S+:\d+: ", "", str(error))) from None
    names = [entry.name for entry in settings.shared]
    for command in _commands_to_check(names):
        merged = merge_arguments(command, [], settings)
        merged = MergedArguments(command, merged.args, ())  # errors name no line
        problems: list[OptionError] = []
        run_hydra(merged, _checking_task(command, settings, problems))
        for problem in problems:
            raise problem


def _commands_to_check(names: Sequence[str]) -> Iterator[str]:
    """Yield `run`, and a command for each option that `run` does not have."""
    yield option_names.FIRST
    others = [name for name in names if not option_names.takes(option_names.FIRST, name)]
    yield from dict.fromkeys(
        next(command for command in SCHEMAS if option_names.takes(command, name)) for name in others
    )


def _checking_task(
    command: str, settings: SettingsFile, problems: list[OptionError]
) -> Callable[[Any], None]:
    """Return a task that collects errors: Hydra would print a line about an error of a task."""

    def task(cfg: Any) -> None:
        try:
            allow_own_parts(cfg, settings)
            _check_config(command, cfg)
        except OptionError as error:
            problems.append(error)
        except OmegaConfBaseException as error:
            problems.append(OptionError(explain(error, command, ())))

    return task


def _check_config(command: str, cfg: DictConfig) -> None:
    if command != option_names.FIRST:
        if OmegaConf.is_missing(cfg, "query"):
            cfg.query = "any"
        read_options(cfg)
        return
    if problem := find_missing_values(cfg):
        raise OptionError(problem)
    read_options(cfg)
    check_parts(cfg)
