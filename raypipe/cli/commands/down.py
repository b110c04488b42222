"""Stop the embedded OpenSearch and S3."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from raypipe.config import build as config
from raypipe.embedded import services


def main(cfg: DictConfig) -> int:
    """Stop what runs and name it."""
    stopped = services.stop_services(Path(config.options(cfg).embedded.data))
    print(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")
    return 0
