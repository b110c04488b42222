"""The command line: the first word is the command, the rest is Hydra's."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, NoReturn

from raypipe import __version__

COMMANDS = {
    "run": "list the books, summarize and embed the new ones, index them (the default)",
    "plan": "what a run would do, and what it would cost, before it begins",
    "index": "index what is finished already: nothing is read, no model is called",
    "retry": "try failed books again; all=true: also those that do not pass by themselves",
    "search": 'find a book by describing it: raypipe search "two friends quarrel" limit=5',
    "verify": "hold the listing, the ledger and the index against each other, book by book",
    "promote": "serve the index that was built beside the one that people search",
    "rollback": "serve the index again that was served before",
    "gc": "show old indices and documents that nothing needs; apply=true removes them",
    "up": "start the embedded OpenSearch and S3 and leave them running",
    "down": "stop the embedded OpenSearch and S3",
    "simulate": "start a model server to test against: Bedrock and OpenAI, quotas, faults",
}
_OVERRIDE = re.compile(r"(\+{1,2}|~)?[A-Za-z_][\w./@-]*=|~[A-Za-z_]")
_TAKES_VALUE = (
    *("-c", "--cfg", "-p", "--package", "-cp", "--config-path", "-cn", "--config-name"),
    *("-cd", "--config-dir", "--experimental-rerun"),
)
_HELP = ("-h", "--help")
_COMPLETE = ("-sc", "--shell-completion")
_MULTIRUN = ("-m", "--multirun")


def main() -> None:
    """Run the command line and exit with its code."""
    args = sys.argv[1:]
    if args and args[0] in _HELP:
        print(_help())
        raise SystemExit(0)
    if args and args[0] == "--version":
        print(f"raypipe {__version__}")
        raise SystemExit(0)
    if any(flag in args for flag in _COMPLETE):
        raise SystemExit(_complete(args))
    raise SystemExit(_dispatch(*_command(args)))


def _command(args: list[str]) -> tuple[str, list[str]]:
    if args and args[0] in COMMANDS:
        return args[0], args[1:]
    if args and re.fullmatch(r"[A-Za-z][\w-]*", args[0]):
        _stop(f"there is no command {args[0]!r}; choose one of {', '.join(COMMANDS)}")
    return "run", args


def _dispatch(command: str, args: list[str]) -> int:
    import hydra

    from raypipe.config import build as config

    # Hydra turns errors into its own exit code and advice; ours are one line and exit 2.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    if command == "search":
        args = _query_as_override(args)
    asks_help = any(arg in _HELP for arg in args)
    args = _flags_last([arg for arg in args if arg not in _HELP])
    _check_flags(args)
    config.register()
    codes: list[int] = []
    decorate: Any = hydra.main(
        version_base="1.3", config_path=str(config.conf_dir()), config_name=command
    )
    from raypipe.config.error_messages import CONFIG_ERRORS, explain, odd_choice
    from raypipe.coordination.signals import STOP_REQUESTED

    if wrong := odd_choice(args):
        _stop(wrong)
    STOP_REQUESTED.clear()
    # Until the graph runs, when stopping takes more care, SIGTERM ends a command as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with _sweep_folder(args) as line:
            sys.argv = [f"raypipe {command}", *_flags_last(line)]
            decorate(_describe(command) if asks_help else _job(command, codes))()
    except CONFIG_ERRORS as error:
        _stop(explain(error, command, args))
    except KeyboardInterrupt:
        _stop("stopped before any book was begun", code=4)
    return max(codes, default=0)


def _complete(args: list[str]) -> int:
    from raypipe.cli.completion import complete
    from raypipe.core.errors import OptionError

    try:
        print(complete(args, list(COMMANDS)))
    except OptionError as error:
        return _say(error, 2)
    return 0


@contextmanager
def _sweep_folder(args: list[str]) -> Iterator[list[str]]:
    """Yield the arguments with a folder for what Hydra writes of a multirun: nobody reads it.

    Without one it leaves `multirun/` where the person stands.
    """
    if not any(flag in args for flag in _MULTIRUN) or any("hydra.sweep.dir=" in a for a in args):
        yield args
        return
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="raypipe-multirun-") as folder:
        yield [*args, f"hydra.sweep.dir={_quoted(folder)}", "hydra.sweep.subdir=."]


def _job(command: str, codes: list[int]) -> Callable[[Any], None]:
    """Return Hydra's task function; a multirun calls it several times and goes on after errors."""

    def job(cfg: Any) -> None:
        from omegaconf.errors import OmegaConfBaseException

        from raypipe.config.error_messages import explain, missing
        from raypipe.coordination.signals import STOP_REQUESTED
        from raypipe.core import exit_codes
        from raypipe.core.errors import OptionError, SetupError

        if STOP_REQUESTED.is_set():  # the person stopped an earlier job of this multirun
            codes.append(exit_codes.STOPPED)
            return
        try:
            if lacking := missing(cfg):
                raise OptionError(lacking)
            codes.append(import_module(f"raypipe.cli.commands.{command}").main(cfg))
        except OptionError as error:
            codes.append(_say(error, 2))
        except OmegaConfBaseException as error:
            codes.append(_say(explain(error, command, ()), 2))
        except SetupError as error:
            codes.append(_say(error, 1))

    job.__name__ = command
    return job


def _describe(command: str) -> Callable[[Any], None]:
    """Return a task function that prints the command's help, with the values it would run with."""

    def describe(cfg: Any) -> None:
        from raypipe.cli.help import describe

        print(describe(command, cfg))

    return describe


def _flags_last(args: list[str]) -> list[str]:
    """Put Hydra's flags behind the overrides: its parser takes only one run of overrides."""
    flags: list[str] = []
    overrides: list[str] = []
    for arg in args:
        takes_this = bool(flags) and flags[-1] in _TAKES_VALUE
        (flags if takes_this or arg.startswith("-") else overrides).append(arg)
    return [*overrides, *flags]


def _check_flags(args: list[str]) -> None:
    """Refuse a flag that Hydra does not know in one line, without its page of usage."""
    from hydra._internal.utils import get_args_parser

    from raypipe.cli.legacy_flags import explain_legacy_flags

    if old := explain_legacy_flags(args):
        _stop(old)
    parser: Any = get_args_parser()
    parser.error = lambda message: _stop(f"{message}; see raypipe --help")
    parser.parse_args(args)


def _query_as_override(args: list[str]) -> list[str]:
    """Turn the plain words of a search into one quoted override, whatever they hold."""
    words, rest, take_next = [], [], False
    for arg in args:
        if take_next or arg.startswith("-") or _OVERRIDE.match(arg):
            rest.append(arg)
            take_next = arg in _TAKES_VALUE
        else:
            words.append(arg)
    return [*rest, f"query={_quoted(' '.join(words))}"] if words else rest


def _quoted(text: str) -> str:
    r"""Quote for Hydra's grammar, and keep OmegaConf from reading `${` as an interpolation.

    Hydra's rule: inside single quotes, `\'` is a quote, and only backslashes that stand before
    a quote are escapes (hydra.cc, "Quoted values").
    """
    text = re.sub(r"(\\*)\$\{", lambda match: match[1] * 2 + r"\${", text)
    text = re.sub(r"(\\*)'", lambda match: match[1] * 2 + r"\'", text)
    trailing = len(text) - len(text.rstrip("\\"))
    return f"'{text}{chr(92) * trailing}'"


def _say(message: object, code: int) -> int:
    print(f"raypipe: {message}", file=sys.stderr)
    return code


def _stop(message: str, code: int = 2) -> NoReturn:
    raise SystemExit(_say(message, code))


def _help() -> str:
    lines = [f"  {name:<8} {text}" for name, text in COMMANDS.items()]
    return "\n".join(
        [
            "raypipe turns a bucket of books into a search index.",
            "",
            "Usage: raypipe [COMMAND] [option=value ...]",
            "",
            *lines,
            "",
            "raypipe COMMAND --help shows its options; --cfg job shows their values.",
            'Tab completion: eval "$(raypipe -sc install=bash)"',
        ]
    )
