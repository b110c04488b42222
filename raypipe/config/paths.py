"""Where the config files are: `conf/` of a checkout, or the copy inside the installed package."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]


def conf_dir() -> Path:
    """Return the folder of the config files.

    A wheel ships it inside the package; in a checkout it lies beside the package.
    """
    shipped = _PACKAGE / "conf"
    return shipped if shipped.is_dir() else _PACKAGE.parent / "conf"


def conf_folders() -> set[str]:
    """Return the names of the folders in `conf/`: the groups, and `base` and `hydra`."""
    return {path.name for path in conf_dir().iterdir() if path.is_dir()}
