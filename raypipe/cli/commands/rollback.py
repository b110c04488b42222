"""Serve the index again that was served before."""

from __future__ import annotations

from omegaconf import DictConfig

from raypipe.cli.index_session import format_served, index_session
from raypipe.config import build as config


def main(cfg: DictConfig) -> int:
    """Let the alias go back, and print what is served.

    Raises:
        SetupError: There is no index to go back to.
    """
    options = config.options(cfg)
    with index_session(cfg, options) as promotion:
        served = promotion.back(options.to)
    print(format_served(served, promotion.alias.config, served.index, options.output))
    return 0
