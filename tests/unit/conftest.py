"""Run command lines in this process, each test with its own Hydra."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from tests.unit.command_line import RunCommandLine

# A deadline for an example fails on a busy machine, where the same test passes alone.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.fixture
def isolated_hydra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Restore Hydra's global state, the logging and the arguments after a test."""
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.hydra_config import HydraConfig

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    # On a busy machine a command takes longer, and would say that it is starting.
    monkeypatch.setattr("raypipe.core.activity.FIRST_SIGN_S", 600.0)
    monkeypatch.setattr(sys, "argv", ["raypipe"])
    monkeypatch.setattr(sys, "path", list(sys.path))
    # Hydra composes a second time just to read hydra.mode, which these tests never set.
    monkeypatch.setattr("hydra._internal.hydra.Hydra.get_mode", lambda *_, **__: None)
    GlobalHydra.instance().clear()
    HydraConfig.instance().cfg = None
    loggers = [logging.getLogger(), logging.getLogger("raypipe")]
    before = [(logger, logger.level, logger.handlers[:]) for logger in loggers]
    yield
    GlobalHydra.instance().clear()
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


@pytest.fixture
def no_services(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a test that starts a service: wrong options must be found earlier."""
    from raypipe.embedded.services import Services

    def start(*_: object) -> None:
        raise AssertionError("a service was started")

    for name in ("start_both", "start_opensearch", "start_s3", "start_and_keep"):
        monkeypatch.setattr(Services, name, start)


@pytest.fixture
def run_command_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> RunCommandLine:
    """Return a function that runs a command line in this process."""
    from raypipe.cli import app

    def run(*args: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["raypipe", *args])
        code = app.run_and_explain(args)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run
