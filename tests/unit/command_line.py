"""Compose configs in this process; the fixtures of these tests are in `conftest.py`."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from raypipe.config.paths import conf_dir
from raypipe.config.schema import register_schemas

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
