"""Reach the index of a command that starts nothing: the node runs already, or is left alone."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from raypipe.cli.local_services import EMBEDDED
from raypipe.config.build import build_part
from raypipe.core.errors import SetupError
from raypipe.embedded.services import list_running
from raypipe.opensearch.index import IndexConfig


class NodeNotRunningError(SetupError):
    """The embedded OpenSearch node does not run."""


def find_running_index(cfg: DictConfig) -> IndexConfig | None:
    """Return the index of a config; None for `opensearch=none`.

    Args:
        cfg: The config; the address of the embedded node is filled in.

    Raises:
        NodeNotRunningError: The config names the embedded node, and it does not run.
        OptionError: A setting is wrong.
    """
    if OmegaConf.select(cfg, "opensearch.endpoint") == EMBEDDED:
        running = list_running(Path(cfg.embedded.data))
        url = next((service.url for service in running if service.name == "opensearch"), None)
        if url is None:
            raise NodeNotRunningError(
                f"the embedded OpenSearch node of {cfg.embedded.data} does not run; `raypipe up` "
                "starts it"
            )
        OmegaConf.update(cfg, "opensearch.endpoint", url)
    index: IndexConfig | None = build_part(cfg, "opensearch")
    return index
