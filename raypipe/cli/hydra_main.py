"""Hydra's entry point, set up for a command of raypipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import hydra
from hydra._internal.hydra import Hydra

from raypipe.cli.arguments import move_flags_last, temporary_sweep_folder
from raypipe.cli.settings.merge import MergedArguments
from raypipe.config.error_messages import CONFIG_ERRORS, explain
from raypipe.config.paths import conf_dir
from raypipe.config.schema import register_schemas
from raypipe.core.errors import OptionError


def hydra_main(command: str) -> Callable[[Callable[[Any], None]], Callable[[], None]]:
    """Return `hydra.main` for a command: a decorator for a task that takes the composed config.

    The decorated task reads `sys.argv`.
    """
    register_schemas()
    decorator: Any = hydra.main(
        version_base="1.3", config_path=str(conf_dir()), config_name=command
    )
    return decorator  # type: ignore[no-any-return]


def run_hydra(merged: MergedArguments, task: Callable[[Any], None]) -> None:
    """Call a task with the config of a command; in a multirun, once for each job.

    Raises:
        OptionError: An argument or an option of the settings file is wrong.
    """
    command, args = merged.command, merged.args
    try:
        with temporary_sweep_folder(args) as hydra_args:
            sys.argv = [f"raypipe {command}", *move_flags_last(hydra_args)]
            with _composed_once(sys.argv[1:]):
                hydra_main(command)(task)()
    except CONFIG_ERRORS as error:
        raise OptionError(merged.locate(explain(error, command, args))) from None


@contextmanager
def _composed_once(args: Sequence[str]) -> Iterator[None]:
    """Keep Hydra from composing the config a second time, only to read `hydra.mode`.

    An override, a flag or a folder of option files can set the mode; raypipe's own files do not.
    """
    if any(arg.startswith("-") or "hydra" in arg for arg in args):
        yield
        return
    read_mode: Any = Hydra.get_mode
    Hydra.get_mode = lambda *_, **__: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        Hydra.get_mode = read_mode  # type: ignore[method-assign]
