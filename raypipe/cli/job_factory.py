"""Build the `Job` of `run`, `plan`, `index` and `retry` from a config."""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, open_dict

from raypipe.config.build import build_part, require_part
from raypipe.ledger.checkpoint import CheckpointSettings
from raypipe.ledger.ledger import Ledger
from raypipe.run.job import Job
from raypipe.sources.protocol import BookSource
from raypipe.state.store import State, open_state


def build_job(cfg: DictConfig, options: Any, **fields: Any) -> Job:
    """Return the job that a config describes.

    Args:
        cfg: The config, with the addresses of local services filled in.
        options: The typed options of the config.
        fields: Fields of `Job` that only some commands set. `store` and `state` replace those
            of the config.

    Raises:
        OptionError: A setting of a part is wrong.
    """
    store = fields.pop("store", None) or require_part(cfg, "storage")
    state = fields.pop("state", None) or open_job_state(options, store)
    checkpoint: CheckpointSettings = require_part(cfg, "checkpoint")
    return Job(
        store=store,
        cleaner=require_part(cfg, "text"),
        summarizer=require_part(cfg, "summarizer"),
        embedder=require_part(cfg, "embedder"),
        index=build_part(cfg, "opensearch"),
        ledger=Ledger(state, checkpoint.open(state)),
        skip_processed=checkpoint.skip,
        stages=options.stages,
        breaker=options.breaker,
        ray=options.ray,
        limit=options.limit,
        adopt=options.adopt,
        quota=options.quota,
        budget=options.budget,
        prices=require_part(cfg, "prices"),
        life=options.index,
        **fields,
    )


def build_listing_job(cfg: DictConfig, options: Any) -> Job:
    """Return the job of a command that lists the source: `run` or `plan`.

    Raises:
        OptionError: A setting of a part is wrong.
    """
    return build_job(
        cfg,
        options,
        purge=options.purge,
        max_attempts=options.max_attempts,
        max_delete_fraction=options.max_delete_fraction,
        allow_deletes=options.allow_deletes,
    )


def open_job_state(options: Any, store: BookSource | None) -> State:
    """Return the state; a state on S3 uses the connection of a source that is on S3, too."""
    return open_state(options.state.uri, getattr(store, "connection", None))


def drop_unused_storage(cfg: DictConfig, options: Any) -> None:
    """Remove the storage from the config of a command that reads no books.

    A state on S3 still needs the storage: its connection leads to the state.
    """
    if "://" not in options.state.uri:
        with open_dict(cfg):
            del cfg.storage


def open_state_without_books(cfg: DictConfig, options: Any) -> State:
    """Return the state of a command that reads no books.

    Call `drop_unused_storage` and `start_local_services` before.

    Raises:
        OptionError: A setting of the storage is wrong.
    """
    return open_job_state(options, require_part(cfg, "storage") if "storage" in cfg else None)
