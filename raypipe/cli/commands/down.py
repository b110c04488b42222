"""Stop the embedded OpenSearch and S3."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from raypipe.config.build import read_options
from raypipe.core.exit_codes import OK
from raypipe.embedded.services import stop_services


def main(cfg: DictConfig) -> int:
    """Stop the running services, and print their names."""
    stopped = carry_out(cfg)
    print(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")
    return OK


def carry_out(cfg: DictConfig) -> list[str]:
    """Stop the running services, and return their names."""
    return stop_services(Path(read_options(cfg).embedded.data))
