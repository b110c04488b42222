"""Compose configs and run command lines in this process, each test with its own Hydra."""

from __future__ import annotations

import copy
import functools
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from raypipe.cli import app
from raypipe.config.paths import conf_dir
from raypipe.config.schema import register_schemas
from raypipe.embedded.services import Services

CONF = conf_dir()
GROUPS = sorted(
    path.name for path in CONF.iterdir() if path.is_dir() and path.name not in ("hydra", "base")
)
CHOICES = [(group, path.stem) for group in GROUPS for path in sorted((CONF / group).glob("*.yaml"))]

RunCommandLine = Callable[..., tuple[int, str, str]]
"""Runs a command line; returns its exit code, stdout and stderr."""


def compose_command(command: str, *overrides: str) -> DictConfig:
    """Return the config of a command; a test may change it."""
    return copy.deepcopy(_compose(command, *overrides))


@functools.cache  # composing takes a quarter of a second
def _compose(command: str, *overrides: str) -> DictConfig:
    register_schemas()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose(command, overrides=list(overrides))


@pytest.fixture(autouse=True)
def isolated_hydra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Restore Hydra's global state, the logging and the arguments after a test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setattr(sys, "argv", ["raypipe"])
    monkeypatch.setattr(sys, "path", list(sys.path))
    # Hydra composes a second time just to read hydra.mode, which these tests never set.
    monkeypatch.setattr("hydra._internal.hydra.Hydra.get_mode", lambda *_, **__: None)
    GlobalHydra.instance().clear()
    loggers = [logging.getLogger(), logging.getLogger("raypipe")]
    before = [(logger, logger.level, logger.handlers[:]) for logger in loggers]
    yield
    GlobalHydra.instance().clear()
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers[:] = handlers


@pytest.fixture(autouse=True)
def no_services(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a test that starts a service: wrong options must be found earlier."""

    def start(*_: object) -> None:
        raise AssertionError("a service was started")

    for name in ("start_both", "start_opensearch", "start_s3", "start_and_keep"):
        monkeypatch.setattr(Services, name, start)


@pytest.fixture
def run_command_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> RunCommandLine:
    """Return a function that runs a command line in this process."""

    def run(*args: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["raypipe", *args])
        with pytest.raises(SystemExit) as caught:
            app.main()
        code = caught.value.code
        assert isinstance(code, int)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run
