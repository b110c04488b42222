"""From the command line to a command: the first word is the command, the rest is Hydra's.

`main` splits the arguments, `raypipe.cli.settings` puts the options of the settings file before
them, Hydra composes `conf/<command>.yaml` with both, and `raypipe.cli.commands.<command>.main(cfg)`
does the work and returns the exit code. The text of `--help` is made in
`raypipe.cli.help_text.program` and `raypipe.cli.help_text.command`.
"""

from __future__ import annotations

import atexit
import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

from raypipe import __version__
from raypipe.cli.help_text.program import COMMANDS, format_program_help
from raypipe.cli.lean_imports import prepare_arrow, prepare_opensearch
from raypipe.cli.log_handlers import find_log_file, log_as_json, logs_json
from raypipe.cli.stop_signals import STOP_REQUESTED, end_on_signal, interrupt_on_signal
from raypipe.cli.streams import StandardStreams
from raypipe.cli.unexpected import explain_unexpected, install_thread_hooks
from raypipe.core.activity import activity, signs_of_life
from raypipe.core.errors import OptionError, SetupError
from raypipe.core.exit_codes import ERROR, OK, STOPPED, WRONG_OPTIONS
from raypipe.core.printable import escape_line
from raypipe.core.redact import redact_urls

if TYPE_CHECKING:
    from raypipe.cli.settings.merge import MergedArguments

log = logging.getLogger(__name__)

WITHOUT_JOB = ("settings", "init")
"""Commands about the settings file; they take the options of other commands."""

SERVERS = ("serve", "simulate")
"""Commands that wait on purpose; all others show signs of life while they work."""

_HELP = ("-h", "--help")
_COMPLETE = ("-sc", "--shell-completion")


def main() -> None:
    """Run the command line of this process and exit with its code."""
    end_on_signal()
    streams = StandardStreams()
    streams.install()
    install_thread_hooks()
    prepare_opensearch()
    code = run_and_explain(sys.argv[1:])
    if reason := streams.find_lost_output():
        code = _print_error(
            f"the output is incomplete: standard output cannot be written: {reason}; free some "
            "space, or send the output elsewhere",
            ERROR,
        )
    end_on_signal(code)
    _exit(code)


def run_and_explain(args: Sequence[str]) -> int:
    """Run a command line, and return its exit code; errors become a line on stderr."""
    try:
        return run_command_line(args)
    except OptionError as error:
        return _print_error(error, WRONG_OPTIONS)
    except SetupError as error:
        return _print_error(error, ERROR)
    except KeyboardInterrupt as interrupt:
        return _print_error(_explain_interrupt(interrupt), STOPPED)
    except Exception as error:
        return _print_error(explain_unexpected(error), ERROR)


def _exit(code: int) -> NoReturn:
    """End the process without the interpreter's own end.

    The interpreter would wait for a thread that hangs in a request, and would delete each object,
    which takes up to half a second.
    """
    atexit._run_exitfuncs()  # of Ray, logging and temporary folders
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # `find_lost_output` has reported it, or it is closed
            stream.flush()
    os._exit(code)


def run_command_line(args: Sequence[str]) -> int:
    """Run a command line, and return its exit code.

    Args:
        args: The arguments after the program's name.

    Raises:
        OptionError: An argument is wrong.
        SetupError: The current folder was deleted.
    """
    if args and args[0] in _HELP:
        print(format_program_help())
        return OK
    if "--version" in args or list(args[:1]) == ["version"]:
        print(f"raypipe {__version__}")
        return OK
    if args and args[0] == "help":  # `raypipe help search` is `raypipe search --help`
        return run_command_line([*args[1:], _HELP[1]])
    if any(flag in args for flag in _COMPLETE):
        from raypipe.cli.completion import complete

        print(complete(args, list(COMMANDS)))
        return OK
    _check_current_folder()
    from raypipe.cli.arguments import take_settings_flag

    args, settings_file = take_settings_flag(args)
    return run_command(*split_command(args), settings_file)


def _check_current_folder() -> None:
    try:
        os.getcwd()  # noqa: PTH109 - its error alone matters
    except OSError as error:
        reason = error.strerror or "it cannot be read"
        raise SetupError(f"the current folder: {reason}; change to a folder that exists") from None


def split_command(args: Sequence[str]) -> tuple[str, list[str]]:
    """Return the command and its arguments; without a command word it is the default command.

    Raises:
        OptionError: The first word is not a command.
    """
    if args and args[0] in COMMANDS:
        return args[0], list(args[1:])
    if args and re.fullmatch(r"[A-Za-z][\w-]*", args[0]):
        from raypipe.cli.wrong_words import explain_command

        raise OptionError(explain_command(args[0]))
    return next(iter(COMMANDS)), list(args)


def run_command(command: str, args: Sequence[str], settings_file: str | None = None) -> int:
    """Run a command, and return its exit code: of a multirun, the highest code of its jobs.

    Args:
        command: The command.
        args: The arguments after it.
        settings_file: Value of `--settings`; None if it was not given.

    Raises:
        OptionError: An argument or the settings file is wrong.
    """
    from raypipe.cli import arguments
    from raypipe.cli.hydra_main import run_hydra
    from raypipe.cli.prepare import prepare_arguments
    from raypipe.cli.wrong_words import check_flags
    from raypipe.config.url_secrets import refuse_secrets_in_arguments

    refuse_secrets_in_arguments(args)
    # Without this, Hydra prints its own advice and exits with its own code.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    wants_help = any(arg in _HELP for arg in args)
    args = [arg for arg in args if arg not in _HELP]
    args = arguments.quote_query(args) if command == "search" else args
    args = arguments.name_words(command, args)
    args = arguments.move_flags_last(args)
    check_flags(args)
    args, profile = arguments.take_profile(args)
    if command in WITHOUT_JOB and not wants_help:
        module = import_module(f"raypipe.cli.commands.{command}")
        code: int = module.main(args, settings_file, profile)
        return code
    if command == "init":  # the file is yet to be written
        settings_file, profile = "none", None
    merged = prepare_arguments(command, args, settings_file, profile)
    STOP_REQUESTED.clear()
    codes: list[int] = []
    notes = _Notes([] if wants_help else merged.notes)
    task = _help_task(command) if wants_help else _command_task(merged, notes, codes)
    is_silent = command in SERVERS or wants_help
    try:
        with nullcontext() if is_silent else signs_of_life():
            run_hydra(merged, task)
    except KeyboardInterrupt as interrupt:
        return _print_error(_explain_interrupt(interrupt), STOPPED)
    finally:
        notes.print()
        if command == "plan" and codes:
            import_module("raypipe.cli.commands.plan").finish_multirun()
    return max(codes, default=OK)


class _Notes:
    """Lines about the settings, which are logged once, or printed if no command logs them."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._waiting = list(lines)

    def log(self) -> None:
        """Log the lines, once Hydra has set up the logging."""
        while self._waiting:
            log.info("%s", self._waiting.pop(0))

    def print(self) -> None:
        """Print the lines that were not logged."""
        while self._waiting:
            _print_to_stderr(self._waiting.pop(0))


def _command_task(
    merged: MergedArguments, notes: _Notes, codes: list[int]
) -> Callable[[Any], None]:
    """Return a Hydra task that runs the command and appends its exit code to `codes`.

    `hydra.main` drops return values. A multirun calls the task for each of its jobs, also after
    a job failed.
    """

    def task(cfg: Any) -> None:
        # A signal during an earlier job of a multirun stops the whole multirun.
        is_stopped = STOP_REQUESTED.is_set()
        codes.append(STOPPED if is_stopped else _call_command(merged, notes, cfg))

    task.__name__ = merged.command
    return task


def _call_command(merged: MergedArguments, notes: _Notes, cfg: Any) -> int:
    from raypipe.cli.prepare import check_values, explain_option_errors

    try:
        with explain_option_errors(merged):
            check_values(cfg, merged)
            if cfg.get("log") == "json" and merged.command != "simulate":
                log_as_json()
            notes.log()
            module = import_module(f"raypipe.cli.commands.{merged.command}")
            if "pyarrow" in sys.modules:
                prepare_arrow()
            with interrupt_on_signal(), activity.doing(f"raypipe {merged.command}"):
                code: int = module.main(cfg)
    except OptionError as error:
        notes.print()
        return _print_error(error, WRONG_OPTIONS)
    except SetupError as error:
        return _print_error(error, ERROR)
    except Exception as error:  # Hydra would print a line about it
        return _print_error(explain_unexpected(error), ERROR)
    return code


def _explain_interrupt(interrupt: KeyboardInterrupt) -> str:
    return f"stopped by {str(interrupt) or 'Ctrl-C'}; run the same command again to continue"


def _help_task(command: str) -> Callable[[Any], None]:
    """Return a Hydra task that prints the command's help with the values of this command line."""

    def task(cfg: Any) -> None:
        from raypipe.cli.help_text.command import format_command_help
        from raypipe.config.url_secrets import refuse_secrets_in_config

        refuse_secrets_in_config(cfg)
        print(format_command_help(command, cfg))

    return task


def _print_error(message: object, code: int) -> int:
    if logs_json():
        log.error("%s", message)  # to the terminal and to the log file
        return code
    _print_to_stderr(message)
    if code != WRONG_OPTIONS and (file := find_log_file()) is not None:
        file.write_line(logging.ERROR, str(message))
    return code


def _print_to_stderr(message: object) -> None:
    activity.sign()  # before: no sign of life must follow the error that ends a command
    print(f"raypipe: {escape_line(redact_urls(str(message)))}", file=sys.stderr)
