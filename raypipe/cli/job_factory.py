"""Build the `Job` of `run`, `plan`, `index` and `retry` from a config."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from omegaconf import DictConfig, open_dict

from raypipe.cli.local_services import EMBEDDED
from raypipe.config.build import build_list, build_part, require_part, to_plain
from raypipe.coordination.watchers import RunWatcher
from raypipe.core.s3 import S3Connection
from raypipe.ledger.checkpoint import CheckpointSettings
from raypipe.ledger.facade import Ledger
from raypipe.ledger.newest_documents import check_exists
from raypipe.lifecycle.deleted_books import DeletionLimit
from raypipe.metrics.cloudwatch import CloudWatchMetrics
from raypipe.models.context import ModelContext
from raypipe.notify.alerts import Alerts
from raypipe.opensearch.index import IndexConfig
from raypipe.run.job import Execution, Job, ModelLimits
from raypipe.run.planner import BookSelection
from raypipe.run.processing import Processing
from raypipe.run.target import IndexTarget
from raypipe.sources import BookSource
from raypipe.state.factory import open_state
from raypipe.state.store import State


def build_job(
    cfg: DictConfig,
    options: Any,
    selection: BookSelection,
    *,
    source: BookSource | None = None,
    state: State | None = None,
    processing: Processing | None = None,
    purge: bool = False,
    deletion_limit: DeletionLimit | None = None,
) -> Job:
    """Return the job that a config describes.

    Args:
        cfg: The config, with the addresses of local services filled in.
        options: The typed options of the config.
        selection: Which books the command processes; `limit` and `checkpoint` come from the
            config.
        source: Where books come from; None for the config's storage.
        state: Where the ledger is; None for the config's state.
        processing: What turns a book into a document; None for the config's parts.
        purge: Delete the index and create a new one.
        deletion_limit: How many books may be deleted without being asked about.

    Raises:
        OptionError: A setting of a part is wrong.
    """
    source = source or require_part(cfg, "storage")
    state = state or open_job_state(options, source)
    checkpoint: CheckpointSettings = require_part(cfg, "checkpoint")
    index: IndexConfig | None = build_part(cfg, "opensearch")
    return Job(
        source=source,
        processing=processing or _connect(build_processing(cfg), state),
        ledger=Ledger(state, checkpoint.open(state)),
        target=IndexTarget(
            index, options.index, purge=purge, adopt=options.adopt, replace=options.replace
        ),
        selection=replace(selection, limit=options.limit, skip_processed=checkpoint.skip),
        deletion_limit=deletion_limit or DeletionLimit(),
        execution=Execution(
            options.executor,
            options.stages,
            options.ray,
            options.breaker,
            watchers=build_watchers(cfg),
        ),
        limits=ModelLimits(options.quota, options.budget, require_part(cfg, "prices")),
        upgrade=options.upgrade,
        config=to_plain(cfg),
    )


def build_watchers(cfg: DictConfig) -> list[RunWatcher]:
    """Return what reports on a run: notifications and metrics.

    Raises:
        OptionError: A setting of a part is wrong.
    """
    watchers: list[RunWatcher] = []
    if notifiers := build_list(cfg, "notify"):
        watchers.append(Alerts(notifiers))
    cloudwatch: CloudWatchMetrics | None = build_part(cfg, "cloudwatch")
    if cloudwatch is not None:
        watchers.append(cloudwatch.watcher())
    return watchers


def build_processing(cfg: DictConfig) -> Processing:
    """Return the parts that turn a book into a document.

    Raises:
        OptionError: A setting of a part is wrong.
    """
    cleaner, summarizer = require_part(cfg, "text"), require_part(cfg, "summarizer")
    return Processing(cleaner, summarizer, require_part(cfg, "embedder"))


def _connect(processing: Processing, state: State) -> Processing:
    """Return the parts with the state that keeps the adaptations to their models."""
    summarizer = processing.summarizer.with_context(ModelContext(state))
    return replace(processing, summarizer=summarizer)


def build_listing_job(cfg: DictConfig, options: Any) -> Job:
    """Return the job of a command that lists the source: `run` or `plan`.

    Raises:
        OptionError: A setting of a part is wrong.
    """
    return build_job(
        cfg,
        options,
        BookSelection(max_attempts=options.max_attempts),
        purge=options.purge,
        deletion_limit=DeletionLimit(options.max_delete_fraction, options.allow_deletes),
    )


def open_job_state(options: Any, store: BookSource | None) -> State:
    """Return the state; a state on S3 uses the connection of a source that is on S3, too."""
    return open_state(options.state.uri, store.connection if store is not None else None)


def find_connection(cfg: DictConfig) -> S3Connection | None:
    """Return how S3 is reached by a command that starts no services.

    It is reached as the storage is, unless that is the server with the samples; then None, boto3's
    defaults.

    Raises:
        OptionError: A setting of the storage is wrong.
    """
    if cfg.storage.get("endpoint_url") == EMBEDDED:
        return None
    connection: S3Connection | None = require_part(cfg, "storage").connection
    return connection


def drop_unused_storage(cfg: DictConfig, options: Any) -> None:
    """Remove the storage from the config of a command that reads no books.

    A state on S3 still needs the storage: its connection leads to the state.
    """
    if "://" not in options.state.uri:
        with open_dict(cfg):
            del cfg.storage


def check_local_state(options: Any) -> None:
    """Raise `SetupError` before a service starts if the state is a folder without a state."""
    if "://" not in options.state.uri:
        check_exists(open_state(options.state.uri))


def open_state_without_books(cfg: DictConfig, options: Any) -> State:
    """Return the state of a command that reads no books.

    Call `drop_unused_storage` and `start_local_services` before.

    Raises:
        OptionError: A setting of the storage is wrong.
    """
    return open_job_state(options, require_part(cfg, "storage") if "storage" in cfg else None)
