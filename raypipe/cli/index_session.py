"""Open the index and the ledger for `promote`, `rollback` and `gc`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from raypipe.cli.job_factory import check_local_state, drop_unused_storage, open_state_without_books
from raypipe.cli.local_services import start_local_services
from raypipe.config.build import require_part
from raypipe.core.options import IndexOptions
from raypipe.core.printable import join_lines, to_json
from raypipe.embedded.services import Services
from raypipe.ledger.facade import Ledger
from raypipe.ledger.newest_documents import check_exists
from raypipe.ledger.writer_lock import WriterLock
from raypipe.lifecycle.promote import Promoter, Served
from raypipe.opensearch.index import IndexAlias, IndexConfig


@contextmanager
def index_session(
    cfg: DictConfig, options: Any, index_options: IndexOptions | None = None
) -> Iterator[Promoter]:
    """Yield a promoter for the index and the state of a config, under the state's writer lock.

    Args:
        cfg: The command's config.
        options: Its typed options.
        index_options: How a new index is promoted; None for the defaults.

    Raises:
        SetupError: Another run writes this state, or the server cannot be used.
    """
    drop_unused_storage(cfg, options)
    check_local_state(options)
    with Services(Path(options.embedded.data)) as services:
        start_local_services(cfg, services, needs_index=True)
        alias = IndexAlias(require_part(cfg, "opensearch"))
        state = open_state_without_books(cfg, options)
        check_exists(state)
        with WriterLock.acquire(state) as lock:
            index_options = index_options or IndexOptions()
            yield Promoter(alias, Ledger(state), index_options, lock.run_seq, lock)


def format_served(served: Served, index: IndexConfig, new: str, output: str) -> str:
    """Return which index is served, and which books the new index lacks.

    Args:
        served: The result of the promotion or the rollback.
        index: The alias and its server.
        new: Name of the index that was to be served.
        output: `text` or `json`.
    """
    if output == "json":
        report = {**dataclasses.asdict(served), "alias": index.index, "new": new}
        return to_json(report)
    lines = [f"index   {index.index} -> {served.index} at {index.connection.endpoint}"]
    if served.before and served.before != served.index:
        lines.append(f"before  {served.before}; `raypipe rollback` serves it again")
    if served.lacking:
        lines.append(
            f"        {new} lacks {len(served.lacking):,} books of the served index; "
            "`raypipe promote force=true` serves it without them:"
        )
        lines += [f"        {book_id}" for book_id in served.lacking]
    return join_lines(lines)
