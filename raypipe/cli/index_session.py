"""What `promote`, `rollback` and `gc` share: the index and its state under the claim."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from raypipe.cli.job_factory import drop_storage, open_state_without_books
from raypipe.cli.local_services import start_local_services
from raypipe.config import build as config
from raypipe.core.options import IndexOptions
from raypipe.embedded.services import Services
from raypipe.ledger.writer_lock import WriterLock
from raypipe.lifecycle.promote import Promoter, Served
from raypipe.opensearch.index import IndexAlias, IndexConfig


@contextmanager
def index_session(
    cfg: DictConfig, options: Any, life: IndexOptions | None = None
) -> Iterator[Promoter]:
    """Hold the claim of the state while an alias goes over.

    Args:
        cfg: The command's config.
        options: Its typed options.
        life: What is done before and after.

    Raises:
        SetupError: Another run writes this state, or the server cannot be used.
    """
    drop_storage(cfg, options)
    with Services(Path(options.embedded.data)) as services:
        start_local_services(cfg, services)
        index: IndexConfig = config.required(cfg, "opensearch")
        state = open_state_without_books(cfg, options)
        with WriterLock.take(state) as claim:
            yield Promoter(IndexAlias(index), state, life or IndexOptions(), claim.run_seq)


def format_served(served: Served, index: IndexConfig, new: str, output: str) -> str:
    """Return what is served, as a person or a script reads it."""
    if output == "json":
        cell = {**dataclasses.asdict(served), "alias": index.index, "new": new}
        return json.dumps(cell, ensure_ascii=False)
    lines = [f"index   {index.index} -> {served.index} at {index.connection.endpoint}"]
    if served.before and served.before != served.index:
        lines.append(f"before  {served.before}, which `raypipe rollback` serves again")
    if served.lacking:
        lines.append(
            f"        {new} lacks {len(served.lacking):,} books that it has; "
            "`raypipe promote force=true` serves it without them:"
        )
        lines += [f"        {one}" for one in served.lacking]
    return "\n".join(lines)
