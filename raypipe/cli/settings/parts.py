"""Find the parts beside a settings file, or in the working directory, that a config names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from raypipe.cli.settings.file import FILE_NAME, SettingsFile
from raypipe.cli.settings.trust import check_trusted
from raypipe.core import own_parts


def allow_own_parts(cfg: DictConfig, settings: SettingsFile | None) -> None:
    """Let the parts of a config be imported from the folder of the settings file.

    Without a settings file, it is the working directory. A folder in which no `_target_` names a
    module is not used.

    Args:
        cfg: The config of a command.
        settings: The settings file; None without one.

    Raises:
        OptionError: Another user owns or can change the module.
    """
    file = settings.path.resolve() if settings else Path.cwd() / FILE_NAME
    for option, target in _targets(OmegaConf.to_container(cfg, resolve=False)):
        if own_parts.is_in_folder(target, file.parent):
            if settings is None or settings.import_dir is None:
                check_trusted(file, None, f"{option}={target}", "give another _target_")
            own_parts.allow_imports(file.parent)


def _targets(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the option and the text of each `_target_` of a config."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        option = f"{prefix}{key}"
        if isinstance(item, dict | list):
            yield from _targets(item, f"{option}.")
        elif key == "_target_" and isinstance(item, str):
            yield option, item
