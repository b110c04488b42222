"""The commands as functions. Heavy libraries are imported by the calls.

Each function takes `config`, `overrides`, `settings`, `profile` and the options of its command as
keyword arguments; docs/guides/python.md explains them. Each raises the errors of `raypipe.errors`.
None prints, ends the process, handles signals or sets up logging: raypipe logs to the logger
`raypipe`.
"""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from raypipe.api.options import Config, SettingsFile
    from raypipe.api.results import PlanResult, RunResult, VerifyResult
    from raypipe.exporter.documents import ExportResult
    from raypipe.opensearch.search.book_search import Hit

log = logging.getLogger(__name__)


def run(
    config: Config | None = None,
    *,
    stop: Event | None = None,
    overrides: Sequence[str] = (),
    settings: SettingsFile = None,
    profile: str | None = None,
    **options: Any,
) -> RunResult:
    """List the books; summarize, embed and index the new books: `raypipe run`.

    A run in which books failed returns a result, and so does a stopped run. Ctrl-C stops a run
    cleanly where it raises `KeyboardInterrupt`. If Ray is initialized, the run uses it and leaves
    it running.

    Args:
        config: A composed config instead of options: of OmegaConf or Hydra, or a dict.
        stop: Set it from another thread to stop the run cleanly.
        overrides: Options as they are typed, e.g. `["storage=s3", "~summarizer.keywords"]`.
        settings: Settings file; None for `raypipe.yaml` as the commands find it, False for none.
        profile: Profile of the settings file.
        options: Options of `raypipe run`, e.g. `storage="s3", storage__bucket="my-books"`.

    Raises:
        SetupError: Nothing was started, because every book would fail or another run writes this
            state.
        OptionError: An option is wrong.
    """
    from raypipe.api.results import RunResult
    from raypipe.cli.commands import run as command
    from raypipe.core.stop import StopRequest

    @contextmanager
    def listen_for_stop() -> Iterator[Event]:
        yield StopRequest("the caller's event", stop)

    with _command_config("run", config, overrides, settings, profile, options) as cfg:
        record = command.carry_out(cfg, listen_for_stop)
        values = {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
        return RunResult(**values, state=_absolute(cfg.state.uri))


def plan(
    config: Config | None = None,
    *,
    overrides: Sequence[str] = (),
    settings: SettingsFile = None,
    profile: str | None = None,
    **options: Any,
) -> PlanResult:
    """Estimate what a run would do and cost, without starting it: `raypipe plan`.

    Args:
        config: As for `run`.
        overrides: As for `run`.
        settings: As for `run`.
        profile: As for `run`.
        options: Options of `raypipe plan`.

    Raises:
        SetupError: The books cannot be listed, or the server cannot be used.
        OptionError: An option is wrong.
    """
    from raypipe.api.results import PlanResult
    from raypipe.cli.commands import plan as command

    with _command_config("plan", config, overrides, settings, profile, options) as cfg:
        estimate = command.carry_out(cfg)
    names = [field.name for field in dataclasses.fields(PlanResult)]
    return PlanResult(**{name: getattr(estimate, name) for name in names})


def search(
    description: str,
    config: Config | None = None,
    *,
    overrides: Sequence[str] = (),
    settings: SettingsFile = None,
    profile: str | None = None,
    **options: Any,
) -> list[Hit]:
    """Return the books that fit a description best, best first: `raypipe search`.

    Args:
        description: Plain words, a title or an author.
        config: As for `run`.
        overrides: As for `run`.
        settings: As for `run`.
        profile: As for `run`.
        options: Options of `raypipe search`, e.g. `limit=3`.

    Raises:
        SetupError: There is no index, another embedder made its vectors, or the server cannot be
            used.
        OptionError: An option is wrong.
    """
    from raypipe.cli.commands import search as command

    fixed = {"query": description}
    with _command_config("search", config, overrides, settings, profile, options, fixed) as cfg:
        return command.carry_out(cfg)


def verify(
    config: Config | None = None,
    *,
    overrides: Sequence[str] = (),
    settings: SettingsFile = None,
    profile: str | None = None,
    **options: Any,
) -> VerifyResult:
    """Compare the listing, the ledger and the index, book by book: `raypipe verify`.

    Args:
        config: As for `run`.
        overrides: As for `run`.
        settings: As for `run`.
        profile: As for `run`.
        options: Options of `raypipe verify`.

    Raises:
        SetupError: There is no index, or the listing, the ledger or the index cannot be read.
        OptionError: An option is wrong.
    """
    from raypipe.api.results import LegacyComparison, VerifyResult
    from raypipe.cli.commands import verify as command

    with _command_config("verify", config, overrides, settings, profile, options) as cfg:
        result = command.carry_out(cfg)
    report = _freeze(command.to_report(result))
    against = report.pop("against", None)
    report |= {"index": result.index.physical, "exit_code": result.exit_code}
    if against is not None:
        report["against"] = LegacyComparison(**_freeze(against))
    return VerifyResult(**report)


def export(
    to: str | os.PathLike[str],
    config: Config | None = None,
    *,
    overrides: Sequence[str] = (),
    settings: SettingsFile = None,
    profile: str | None = None,
    **options: Any,
) -> ExportResult:
    """Write the newest document of each book to a file: `raypipe export`.

    Args:
        to: A file, a folder (it exists, or the name ends with `/`), or `s3://bucket/key`.
        config: As for `run`.
        overrides: As for `run`.
        settings: As for `run`.
        profile: As for `run`.
        options: Options of `raypipe export`, e.g. `format="jsonl", vectors=False`.

    Raises:
        OptionError: The file exists and `overwrite` is not set, or an option is wrong.
        SetupError: There is no state, it cannot be read, or the file cannot be written.
    """
    from raypipe.cli.commands import export as command

    fixed = {"to": os.fspath(to)}
    with _command_config("export", config, overrides, settings, profile, options, fixed) as cfg:
        return command.carry_out(cfg)


def up(
    *,
    overrides: Sequence[str] = (),
    settings: SettingsFile = None,
    profile: str | None = None,
    **options: Any,
) -> tuple[str, str]:
    """Start the embedded services and leave them running: `raypipe up`.

    Without it, each call that needs an embedded service starts it and stops it at its end.

    Args:
        overrides: As for `run`.
        settings: As for `run`.
        profile: As for `run`.
        options: Options of `raypipe up`.

    Returns:
        The URL of OpenSearch, and the URL of S3.

    Raises:
        SetupError: A service cannot be started.
    """
    from raypipe.cli.commands import up as command

    with _command_config("up", None, overrides, settings, profile, options) as cfg:
        return command.carry_out(cfg)


def down(
    *,
    overrides: Sequence[str] = (),
    settings: SettingsFile = None,
    profile: str | None = None,
    **options: Any,
) -> list[str]:
    """Stop the embedded services: `raypipe down`.

    Args:
        overrides: As for `run`.
        settings: As for `run`.
        profile: As for `run`.
        options: Options of `raypipe down`.

    Returns:
        The names of the services that ran.
    """
    from raypipe.cli.commands import down as command

    with _command_config("down", None, overrides, settings, profile, options) as cfg:
        return command.carry_out(cfg)


@contextmanager
def _command_config(
    command: str,
    config: Config | None,
    overrides: Sequence[str],
    settings: SettingsFile,
    profile: str | None,
    options: dict[str, Any],
    fixed: dict[str, Any] | None = None,
) -> Iterator[DictConfig]:
    """Yield the config of a command; errors inside the block get the place of their option."""
    from raypipe.api.options import CallOptions, prepare_config
    from raypipe.cli.prepare import explain_option_errors

    call = CallOptions(config, overrides, settings, profile, options)
    prepared = prepare_config(command, call, fixed or {})
    for note in prepared.arguments.notes:
        log.info("%s", note)
    with explain_option_errors(prepared.arguments):
        yield prepared.cfg


def _freeze(report: dict[str, Any]) -> dict[str, Any]:
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in report.items()
    }


def _absolute(uri: str) -> str:
    return uri if "://" in uri else os.path.abspath(os.path.expanduser(uri))  # noqa: PTH100, PTH111
