"""Keep old `_target_` class paths working in YAML files outside this repository."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from omegaconf import DictConfig

log = logging.getLogger(__name__)

MOVED_TARGETS: Mapping[str, str] = {
    "raypipe.checkpoint.Checkpoint": "raypipe.ledger.checkpoint.CheckpointSettings",
    "raypipe.opensearch.aws.AwsConnection": "raypipe.opensearch.connection.aws.AwsConnection",
    "raypipe.opensearch.client.Connection": "raypipe.opensearch.connection.client.Connection",
    "raypipe.opensearch.index.OpenSearchIndex": "raypipe.opensearch.index.config.IndexConfig",
    "raypipe.prices.Prices": "raypipe.quota.prices.Prices",
    "raypipe.storage.local.LocalBookStore": "raypipe.sources.local.LocalBookSource",
    "raypipe.storage.s3.S3BookStore": "raypipe.sources.s3.S3BookSource",
    "raypipe.summarizers.model.ModelSummarizer": (
        "raypipe.summarizers.llm.summarizer.ModelSummarizer"
    ),
    "raypipe.summarizers.passthrough.LeadSummarizer": "raypipe.summarizers.lead.LeadSummarizer",
}
"""Class paths that configs of raypipe 0.1.0 used, and the path of each class today."""


def update_moved_targets(node: DictConfig) -> None:
    """Replace old class paths in a part's settings, including nested parts.

    Args:
        node: The settings of a part; changed in place.
    """
    for key in node:
        if key == "_target_":
            old = str(node[key])
            if old in MOVED_TARGETS:
                log.info(
                    "_target_ %s has moved. Fix: replace it by %s in your YAML file",
                    old,
                    MOVED_TARGETS[old],
                )
                node[key] = MOVED_TARGETS[old]
        elif isinstance(node._get_node(key), DictConfig):
            update_moved_targets(node[key])
