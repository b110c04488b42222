"""Hydra's entry point, set up for a command of raypipe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hydra

from raypipe.config.paths import conf_dir
from raypipe.config.schema import register_schemas


def hydra_main(command: str) -> Callable[[Callable[[Any], None]], Callable[[], None]]:
    """Return `hydra.main` for a command: a decorator for a task that takes the composed config.

    The decorated task reads `sys.argv`.
    """
    register_schemas()
    decorator: Any = hydra.main(
        version_base="1.3", config_path=str(conf_dir()), config_name=command
    )
    return decorator  # type: ignore[no-any-return]
