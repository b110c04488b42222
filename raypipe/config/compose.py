"""Compose the config of a command without Hydra's global state.

`hydra.compose` works only if Hydra is initialized, once in a process. A caller of the Python API
may have a Hydra application with another configuration, or call from several threads.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict

from raypipe.config.paths import conf_dir
from raypipe.config.schema import register_schemas
from raypipe.core.errors import OptionError

VERSION_BASE = "1.3"
"""Version of Hydra whose rules the files in `conf/` follow."""

_lock = threading.Lock()


def compose_config(
    command: str, overrides: Sequence[str] = (), config_dir: Path | None = None
) -> DictConfig:
    """Return the config of a command, without Hydra's own options.

    Args:
        command: The command.
        overrides: Overrides in Hydra's grammar.
        config_dir: Folder with more option files.

    Raises:
        OptionError: There is no such folder.
        HydraException: An override or an option file is wrong; `explain` makes a line of it.
    """
    cfg = _load(command, overrides, config_dir)
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg


def compose_with_choices(
    command: str, overrides: Sequence[str] = ()
) -> tuple[DictConfig, dict[str, str]]:
    """Return the config of a command, and the choice of each of its groups.

    Args:
        command: The command.
        overrides: Overrides in Hydra's grammar.

    Raises:
        HydraException: An override is wrong.
    """
    cfg = _load(command, overrides, None)
    choices = {str(group): str(choice) for group, choice in cfg.hydra.runtime.choices.items()}
    with open_dict(cfg):
        del cfg["hydra"]
    return cfg, choices


def _load(command: str, overrides: Sequence[str], config_dir: Path | None) -> DictConfig:
    """Return the config of a command with Hydra's own options."""
    search_path = create_config_search_path(f"file://{conf_dir()}")
    if config_dir is not None:
        if not config_dir.is_dir():
            raise OptionError(f"config_dir: there is no folder {config_dir.absolute()}")
        path = f"file://{config_dir.absolute()}"
        search_path.prepend("command-line", path, SearchPathQuery(provider="schema"))
    # Hydra's own objects are singletons of the process.
    with _lock, _version_base():
        register_schemas()
        loader = ConfigLoaderImpl(search_path)
        return loader.load_configuration(command, list(overrides), RunMode.RUN, from_shell=False)


@contextmanager
def _version_base() -> Iterator[None]:
    """Set Hydra's rules, and restore those of the process afterwards."""
    singleton = version.VersionBase.instance()
    previous = singleton.version_base
    version.setbase(VERSION_BASE)
    try:
        yield
    finally:
        singleton.version_base = previous
