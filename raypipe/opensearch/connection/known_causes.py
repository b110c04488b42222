"""Recognize why OpenSearch refuses a request, and say how to change that."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

CLOSED = "the index is closed; open it with POST /{index}/_open, or replace it with purge=true"
BLOCKED = "the index is blocked; remove the block from index.blocks in PUT /{index}/_settings"
DISK_FULL = (
    "the disk of a node is nearly full (flood-stage watermark); free disk space or add a node, "
    "then OpenSearch accepts writes again"
)
NO_NEW_INDICES = (
    "the cluster creates no indices, because its disks are nearly full or "
    "cluster.blocks.create_index is set; free disk space, then set cluster.blocks.create_index to "
    "null in PUT /_cluster/settings"
)
READ_ONLY_CLUSTER = (
    "the cluster is read-only; set cluster.blocks.read_only and "
    "cluster.blocks.read_only_allow_delete to null in PUT /_cluster/settings"
)
NO_KNN = "the k-NN plugin is not installed there; install it, or set another opensearch.endpoint"
_BLOCK = "cluster_block_exception"
_CAUSES = (
    (_BLOCK, r"flood-stage|FORBIDDEN/12/", DISK_FULL),
    (_BLOCK, r"create-index blocked", NO_NEW_INDICES),
    (_BLOCK, r"FORBIDDEN/(6|13)/", READ_ONLY_CLUSTER),
    (_BLOCK, r"FORBIDDEN/4/|index closed", CLOSED),
    (_BLOCK, r"state not recovered|no cluster.manager|no master", "the cluster has no elected "
     "manager node yet; check GET /_cluster/health, and run again once it is green or yellow"),
    (_BLOCK, "", f"{BLOCKED}, or free disk space where a disk is full"),
    ("index_closed_exception", "", CLOSED),
    ("", r"this action would add \[", "the cluster has as many shards as it may; delete indices "
     "that are not needed (`raypipe gc` lists raypipe's own), add a node, or raise "
     "cluster.max_shards_per_node"),
    ("", r"creates data streams only", "an index template makes every index of this name a data "
     "stream; set another opensearch.index, or change the template (GET /_index_template)"),
    ("", r"data ?stream", "raypipe needs an index, not a data stream, whose documents cannot be "
     "replaced; set another opensearch.index, or delete it with DELETE /_data_stream/NAME"),
    ("invalid_alias_name_exception", "exists with the same name", "an index has the name of the "
     "alias; set another opensearch.index, or delete that index"),
    ("invalid_index_name_exception", "already exists as alias", "an alias has the name of the "
     "index; set another opensearch.index, or remove that alias"),
    ("", r"KNN plugin is disabled|knn\.plugin\.enabled", "the k-NN plugin is turned off; set "
     "knn.plugin.enabled to true in PUT /_cluster/settings"),
    ("", r"\[index\.knn\]|\[knn_vector\]", NO_KNN),
    ("", "collection type", "raypipe needs a collection of the type VECTORSEARCH"),
    ("", r"action\.auto_create_index", "the index does not exist, and the server creates none by "
     "itself (action.auto_create_index); create the index first"),
    ("", r"^(Failed to parse mapping|composable template|unknown setting)", "an index template may "
     "set this for indices of this name; GET /_index_template lists the templates"),
)  # fmt: skip
"""Type of an error, part of its reason, and cause and fix; '' for any type or reason."""

_INDEX = re.compile(r"index \[([\w.-]+)\]")


def explain_cause(cause: Any) -> str:
    """Return cause and fix of an error that OpenSearch reports, or ''.

    Args:
        cause: An OpenSearch error object, or None.
    """
    for each in _with_root_causes(cause):
        reason = str(each.get("reason", ""))
        for error_type, pattern, text in _CAUSES:
            if error_type in ("", each.get("type")) and re.search(pattern, reason):
                match = _INDEX.search(reason)
                index = each.get("index") or (match[1] if match else "INDEX")
                return text.replace("{index}", str(index))
    return ""


def _with_root_causes(cause: Any) -> Iterator[Mapping[str, Any]]:
    """Yield an error object and the errors that it reports as its causes."""
    while isinstance(cause, Mapping):
        yield cause
        roots = cause.get("root_cause")
        if isinstance(roots, list):
            yield from (root for root in roots if isinstance(root, Mapping))
        cause = cause.get("caused_by")
