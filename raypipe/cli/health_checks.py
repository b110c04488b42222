"""The checks of `raypipe doctor`: each looks at one thing, and starts nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from raypipe.cli.job_factory import find_connection
from raypipe.cli.local_services import EMBEDDED
from raypipe.cli.running_index import NodeNotRunningError, find_running_index
from raypipe.config.build import require_part
from raypipe.core.errors import OptionError, SetupError
from raypipe.core.options import QuotaOptions
from raypipe.core.setup_check import check_setup
from raypipe.ledger.document_store import DocumentStore
from raypipe.ledger.run_history import read_owner
from raypipe.opensearch.connection.answers import parsing
from raypipe.opensearch.connection.client import Connection
from raypipe.opensearch.index import IndexAlias
from raypipe.state.factory import open_state
from raypipe.state.store import IDENTITY, check_conditional_puts, state_id

OK, WARNING, PROBLEM = "ok", "warning", "problem"

MIN_FREE_BYTES = 500_000_000
"""Free space below which a run is likely to fail: parquet parts, and merges of the index."""
HIGH_WATERMARK = 0.90
"""Share of a disk in use from which OpenSearch moves shards away and warns, by its default of
cluster.routing.allocation.disk.watermark.high; at 95 % it refuses writes."""
_HIDDEN = (400, 401, 403, 404, 405)
"""Statuses with which servers hide their health from this user."""


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Args:
        name: What was checked.
        level: `ok`, `warning` or `problem`.
        message: What is so, and for a warning or a problem, what to do.
    """

    name: str
    level: str
    message: str


def check_health(cfg: DictConfig, options: Any) -> Iterator[Finding]:
    """Yield the findings; nothing is started and no lock is taken.

    Args:
        cfg: The config.
        options: Its typed options.

    Raises:
        OptionError: A setting is wrong.
    """
    checks: dict[str, Callable[[], Iterator[Finding]]] = {
        "state": lambda: _check_state(cfg, options.state.uri),
        "disk": lambda: _check_disks([options.state.uri, options.embedded.data]),
        "storage": lambda: _check_storage(cfg),
        "opensearch": lambda: _check_opensearch(cfg),
        "summarizer": lambda: _check_model(cfg, "summarizer", call=options.call_models),
        "embedder": lambda: _check_model(cfg, "embedder", call=options.call_models),
        "quota": lambda: _check_quota(options.quota),
    }
    for name, check in checks.items():
        try:
            yield from check()
        except OptionError:
            raise
        except SetupError as error:
            yield Finding(name, PROBLEM, str(error))


def _check_state(cfg: DictConfig, uri: str) -> Iterator[Finding]:
    try:
        state = open_state(uri, find_connection(cfg))
    except ValueError as error:
        raise OptionError(str(error)) from None
    if state.get(IDENTITY) is None and not DocumentStore(state).recipe_names():
        yield _judge_missing_state(state.uri)
        return
    state_id(state)
    check_conditional_puts(state)
    owner = read_owner(state)
    use = f"written by {owner}" if owner else "no run writes it"
    yield Finding("state", OK, f"{state.uri} can be read and written; {use}")


def _judge_missing_state(uri: str) -> Finding:
    """Return the finding about a state that no run has made yet."""
    text = f"there is no state at {uri}"
    if "://" not in uri:
        folder = _find_existing(uri)
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            advice = "set state.uri to a folder that this user can make"
            return Finding("state", PROBLEM, f"{text}, and {folder} cannot be written; {advice}")
    return Finding("state", WARNING, f"{text}; `raypipe run` makes it")


def _find_existing(place: str) -> Path:
    """Return a path, or its nearest parent that exists and that this user may look into."""
    path = Path(place).expanduser().absolute()
    return next(each for each in (path, *path.parents) if os.path.exists(each))  # noqa: PTH110


def _check_disks(places: list[str]) -> Iterator[Finding]:
    """Check the disk of each folder; folders on one disk are checked once."""
    seen = set[int]()
    for place in places:
        if "://" in place:
            continue
        folder = _find_existing(place)
        if folder.stat().st_dev in seen:
            continue
        seen.add(folder.stat().st_dev)
        yield judge_disk(str(folder), *shutil.disk_usage(folder))


def judge_disk(folder: str, total: int, used: int, free: int) -> Finding:
    """Return the finding about a disk.

    Args:
        folder: A folder on it.
        total: Bytes of the disk.
        used: Bytes in use.
        free: Bytes that this user can still write.
    """
    text = f"{free / 1e9:,.1f} GB of {total / 1e9:,.1f} GB are free at {folder}"
    if free < MIN_FREE_BYTES:
        return Finding("disk", PROBLEM, f"{text}; free some space, or use another folder")
    if used > HIGH_WATERMARK * (used + free):
        return Finding(
            "disk", WARNING, f"{text}; OpenSearch refuses writes at 95 % in use: free some space"
        )
    return Finding("disk", OK, text)


def _check_storage(cfg: DictConfig) -> Iterator[Finding]:
    if cfg.storage.get("endpoint_url") == EMBEDDED:
        yield Finding("storage", OK, "the sample books, from the embedded S3 server")
        return
    storage = require_part(cfg, "storage")
    check_setup(storage)
    storage.check()
    yield Finding("storage", OK, f"{storage.identity} can be listed")


def _check_opensearch(cfg: DictConfig) -> Iterator[Finding]:
    try:
        config = find_running_index(cfg)
    except NodeNotRunningError as error:
        yield Finding("opensearch", WARNING, f"{error}, and so does `raypipe run`")
        return
    if config is None:
        yield Finding("opensearch", OK, "opensearch=none: runs end at finished documents")
        return
    alias = IndexAlias(config)
    server = alias.check_server()
    yield Finding("opensearch", OK, f"{config.connection.endpoint} is {server}")
    if not config.connection.is_serverless:
        yield from _check_cluster(config.connection)
    yield _check_index(alias)


def _check_cluster(connection: Connection) -> Iterator[Finding]:
    health = connection.ask("GET", "/_cluster/health", ignore=_HIDDEN)
    params = {"format": "json", "h": "node,disk.percent"}
    nodes = connection.ask("GET", "/_cat/allocation", params=params, ignore=_HIDDEN)
    full: list[tuple[str, int]] = []
    with parsing(connection, "GET /_cluster/health"):
        status = str(health.get("status") or "") if health else ""
        unassigned = int(health.get("unassigned_shards") or 0) if health else 0
    with parsing(connection, "GET /_cat/allocation"):
        for node in nodes if isinstance(nodes, list) else ():  # an error's object is hidden
            percent = int(node.get("disk.percent") or 0)  # null for shards without a node
            if percent > 100 * HIGH_WATERMARK:
                full.append((str(node.get("node")), percent))
    if status in ("green", "yellow", "red"):
        yield judge_cluster(status, unassigned)
    for name, percent in full:
        yield Finding(
            "cluster",
            WARNING,
            f"the disk of {name} is {percent} % full; at 95 % its indices are read-only: add "
            "storage, or delete old indices (`raypipe gc`)",
        )


def judge_cluster(status: str, unassigned: int) -> Finding:
    """Return the finding about the health of a cluster.

    Args:
        status: `green`, `yellow` or `red`.
        unassigned: Number of shards without a node.
    """
    if status == "red":
        return Finding(
            "cluster",
            PROBLEM,
            f"its health is red, {unassigned:,} shards have no node; see GET "
            "/_cluster/allocation/explain, and run again once it is green or yellow",
        )
    note = f", {unassigned:,} replicas have no node" if status == "yellow" else ""
    return Finding("cluster", OK, f"its health is {status}{note}")


def _check_index(alias: IndexAlias) -> Finding:
    index, name = alias.find(), alias.config.index
    if index is None:
        return Finding("index", WARNING, f"there is no index {name}; `raypipe run` makes it")
    return Finding("index", OK, f"{name} -> {index.ref.physical}, {index.count():,} documents")


def _check_model(cfg: DictConfig, group: str, *, call: bool) -> Iterator[Finding]:
    part = require_part(cfg, group)
    check_setup(part)
    if call:
        part.check()
    if call:
        note = "it answers"
    elif part.paid_model is None:
        note = "it calls no model"
    else:
        note = "settings and credentials are there; call_models=true calls it"
    yield Finding(group, OK, f"{part.name}: {note}")


def _check_quota(quota: QuotaOptions) -> Iterator[Finding]:
    limits = [
        f"{name}={value:,}"
        for name in ("tokens_per_minute", "requests_per_minute", "tokens_per_day")
        if (value := getattr(quota, name)) is not None
    ]
    if not quota.managed:
        known = "not managed"
    else:
        known = ", ".join(limits) or "no limit is given: a run finds it by the server's refusals"
    yield Finding("quota", OK, f"{known}; at most {quota.max_in_flight:,} calls in flight")
