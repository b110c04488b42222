"""Serve the previous index again."""

from __future__ import annotations

from omegaconf import DictConfig

from raypipe.cli.index_session import format_served, index_session
from raypipe.config.build import read_options
from raypipe.core.exit_codes import OK


def main(cfg: DictConfig) -> int:
    """Point the alias at an older index, and print which index is served.

    Raises:
        SetupError: There is no index to roll back to.
    """
    options = read_options(cfg)
    with index_session(cfg, options) as promoter:
        served = promoter.rollback(options.to)
    print(format_served(served, promoter.alias.config, served.index, options.output))
    return OK
