"""Prepare the arguments of a command: those of the settings file, checked, and clear errors.

The command line and the Python API share it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from raypipe.cli.override_values import accept_text, describe_repeated
from raypipe.cli.settings.file import read_settings
from raypipe.cli.settings.merge import MergedArguments, merge_arguments
from raypipe.cli.settings.parts import allow_own_parts
from raypipe.config.error_messages import explain, find_invalid_choice, find_missing_values
from raypipe.config.url_secrets import refuse_secrets_in_arguments, refuse_secrets_in_config
from raypipe.core.errors import OptionError


def prepare_arguments(
    command: str, args: Sequence[str], settings_file: str | None, profile: str | None
) -> MergedArguments:
    """Return the arguments of a command together with those of the settings file.

    Args:
        command: The command.
        args: The arguments that were given, without `--settings` and `profile=`.
        settings_file: Value of `--settings`; None for the default file.
        profile: Value of `profile=`; None if it was not given.

    Raises:
        OptionError: An argument or the settings file is wrong.
    """
    refuse_secrets_in_arguments(args)
    settings = read_settings(settings_file, profile)
    merged = merge_arguments(command, accept_text(command, args), settings)
    if problem := find_invalid_choice(merged.typed):
        raise OptionError(problem)
    return replace(merged, notes=[*merged.notes, *describe_repeated(args)])


def check_values(cfg: DictConfig, merged: MergedArguments) -> None:
    """Check that every option has a value and no URL a password; let own parts be imported.

    Args:
        cfg: The config of a command.
        merged: The arguments that it was composed from.

    Raises:
        OptionError: An option has no value yet, a URL has a password or token, or another user can
            change an own part.
    """
    if problem := find_missing_values(cfg):
        raise OptionError(problem)
    refuse_secrets_in_config(cfg)
    allow_own_parts(cfg, merged.settings)


@contextmanager
def explain_option_errors(merged: MergedArguments) -> Iterator[None]:
    """Raise errors about options as `OptionError`, with file and line of the settings file."""
    try:
        yield
    except OptionError as error:
        raise OptionError(merged.locate(str(error))) from None
    except OmegaConfBaseException as error:
        raise OptionError(merged.locate(explain(error, merged.command, ()))) from None
