"""From the command line to a command: the first word is the command, the rest is Hydra's.

`main` splits the arguments, Hydra composes `conf/<command>.yaml` with them, and
`raypipe.cli.commands.<command>.main(cfg)` does the work and returns the exit code. The text of
`--help` is made in `raypipe.cli.help_text.program` and `raypipe.cli.help_text.command`.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from raypipe import __version__
from raypipe.cli.help_text.program import COMMANDS, format_program_help
from raypipe.core.errors import OptionError, SetupError
from raypipe.core.exit_codes import ERROR, OK, STOPPED, WRONG_OPTIONS

_HELP = ("-h", "--help")
_COMPLETE = ("-sc", "--shell-completion")


def main() -> None:
    """Run the command line of this process and exit with its code."""
    try:
        code = run_command_line(sys.argv[1:])
    except OptionError as error:
        code = _print_error(error, WRONG_OPTIONS)
    _exit_if_work_was_given_up(code)
    raise SystemExit(code)


def _exit_if_work_was_given_up(code: int) -> None:
    """End the process if a thread still hangs in a request: the interpreter would wait for it."""
    work = sys.modules.get("raypipe.coordination.background_work")
    if work is not None and work.has_given_up_work():
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def run_command_line(args: Sequence[str]) -> int:
    """Run a command line, and return its exit code.

    Args:
        args: The arguments after the program's name.

    Raises:
        OptionError: An argument is wrong.
    """
    if args and args[0] in _HELP:
        print(format_program_help())
        return OK
    if args and args[0] == "--version":
        print(f"raypipe {__version__}")
        return OK
    if any(flag in args for flag in _COMPLETE):
        from raypipe.cli.completion import complete

        print(complete(args, list(COMMANDS)))
        return OK
    return run_command(*split_command(args))


def split_command(args: Sequence[str]) -> tuple[str, list[str]]:
    """Return the command and its arguments; without a command word it is the default command.

    Raises:
        OptionError: The first word is not a command.
    """
    if args and args[0] in COMMANDS:
        return args[0], list(args[1:])
    if args and re.fullmatch(r"[A-Za-z][\w-]*", args[0]):
        raise OptionError(f"there is no command {args[0]!r}; choose one of {', '.join(COMMANDS)}")
    return next(iter(COMMANDS)), list(args)


def run_command(command: str, args: Sequence[str]) -> int:
    """Run a command, and return its exit code: of a multirun, the highest code of its jobs.

    Raises:
        OptionError: An argument is wrong.
    """
    from raypipe.cli import arguments
    from raypipe.cli.hydra_main import hydra_main
    from raypipe.cli.stop_signals import STOP_REQUESTED
    from raypipe.config.error_messages import CONFIG_ERRORS, explain, find_invalid_choice

    # Without this, Hydra prints its own advice and exits with its own code.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    wants_help = any(arg in _HELP for arg in args)
    args = [arg for arg in args if arg not in _HELP]
    args = arguments.quote_query(args) if command == "search" else args
    args = arguments.name_state_words(args) if command == "state" else args
    args = arguments.move_flags_last(args)
    arguments.check_flags(args)
    if problem := find_invalid_choice(args):
        raise OptionError(problem)
    STOP_REQUESTED.clear()
    # Until a run handles signals itself, SIGTERM ends a command as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    codes: list[int] = []
    task = _help_task(command) if wants_help else _command_task(command, codes)
    try:
        with arguments.temporary_sweep_folder(args) as hydra_args:
            sys.argv = [f"raypipe {command}", *arguments.move_flags_last(hydra_args)]
            hydra_main(command)(task)()
    except CONFIG_ERRORS as error:
        raise OptionError(explain(error, command, args)) from None
    except KeyboardInterrupt:
        return _print_error("stopped before any book was started", STOPPED)
    return max(codes, default=OK)


def _command_task(command: str, codes: list[int]) -> Callable[[Any], None]:
    """Return a Hydra task that runs the command and appends its exit code to `codes`.

    `hydra.main` drops return values. A multirun calls the task for each of its jobs, also after
    a job failed.
    """

    def task(cfg: Any) -> None:
        from raypipe.cli.stop_signals import STOP_REQUESTED

        # A signal during an earlier job of a multirun stops the whole multirun.
        codes.append(STOPPED if STOP_REQUESTED.is_set() else _call_command(command, cfg))

    task.__name__ = command
    return task


def _call_command(command: str, cfg: Any) -> int:
    from omegaconf.errors import OmegaConfBaseException

    from raypipe.config.error_messages import explain, find_missing_values

    try:
        if problem := find_missing_values(cfg):
            raise OptionError(problem)
        code: int = import_module(f"raypipe.cli.commands.{command}").main(cfg)
    except OptionError as error:
        return _print_error(error, WRONG_OPTIONS)
    except OmegaConfBaseException as error:
        return _print_error(explain(error, command, ()), WRONG_OPTIONS)
    except SetupError as error:
        return _print_error(error, ERROR)
    return code


def _help_task(command: str) -> Callable[[Any], None]:
    """Return a Hydra task that prints the command's help with the values of this command line."""

    def task(cfg: Any) -> None:
        from raypipe.cli.help_text.command import format_command_help

        print(format_command_help(command, cfg))

    return task


def _print_error(message: object, code: int) -> int:
    print(f"raypipe: {message}", file=sys.stderr)
    return code
