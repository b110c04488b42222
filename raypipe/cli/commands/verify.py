"""Hold the listing, the ledger and the index against each other, book by book."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from raypipe.cli.compare_legacy import MEANING, compare_with
from raypipe.cli.job_factory import open_job_state
from raypipe.cli.local_services import start_local_services
from raypipe.config import build as config
from raypipe.core.errors import SetupError
from raypipe.embedded.services import Services
from raypipe.ledger.ledger import Ledger
from raypipe.opensearch.index import Index, IndexAlias, IndexConfig, IndexRef
from raypipe.state.store import State
from raypipe.verify.compare import Comparison
from raypipe.verify.reconcile import Reconciliation, reconcile

_SHOWN = 10
_MEANING: Mapping[str, str] = {
    "missing": "the ledger says processed, but the index does not have them; run with purge=true",
    "differing": "the index holds another version than the ledger says; run with purge=true",
    "unledgered": "in the index, but not in the ledger (a kill in between); `raypipe run` mends it",
    "failed": "failed; state.uri/failures says why",
    "pending": "new or changed; the next `raypipe run` takes them",
    "removed": "in the index, but no longer listed",
}


def main(cfg: DictConfig) -> int:
    """Compare, print what was found, and return 0 only if all books agree.

    Returns:
        0 all agree; 1 ledger and index disagree, or `against` has results that the new ones
        lack or are unlike; 3 books failed; 4 books are pending.

    Raises:
        SetupError: There is no index, or one of the three cannot be read.
    """
    options = config.options(cfg)
    with Services(Path(options.embedded.data)) as services:
        start_local_services(cfg, services)
        store = config.required(cfg, "storage")
        index_config: IndexConfig = config.required(cfg, "opensearch")
        state = open_job_state(options, store)
        index = _found(IndexAlias(index_config))
        index.refresh()
        indexed = {one.book_id: one.etag for one in index.scan()}
        listing = list(store.list_books())
        found = reconcile(listing, _ledger(state, index.ref), indexed, _failed(state))
        old = None
        if options.against:
            embedder = config.required(cfg, "embedder")
            old = compare_with(
                options.against, listing, store, state, embedder, options.most_nearer
            )
    print(_json(found, old) if options.output == "json" else _text(found, old, index.ref))
    codes = [found.exit_code, old.exit_code if old else 0]
    return 1 if 1 in codes else max(codes)


def _found(alias: IndexAlias) -> Index:
    index = alias.find()
    if index is None:
        raise SetupError(
            f"opensearch.index={alias.config.index} is not at {alias.config.connection.endpoint}; "
            "`raypipe run` makes it, or give another name"
        )
    return index


def _ledger(state: State, handle: IndexRef) -> dict[str, str]:
    table = Ledger(state).checkpoint.of_generation(handle.generation)
    return dict(zip(table["book_id"].to_pylist(), table["etag"].to_pylist(), strict=True))


def _failed(state: State) -> set[str]:
    return set(Ledger(state).unresolved_failures()["book_id"].to_pylist())


def _report(found: Reconciliation | Comparison) -> dict[str, Any]:
    """Return all that was found, the good ones as a number."""
    return {**dataclasses.asdict(found), "good": len(found.good), "exit_code": found.exit_code}


def _json(found: Reconciliation, old: Comparison | None) -> str:
    report = _report(found)
    if old is not None:
        report["against"] = _report(old)
    return json.dumps(report, ensure_ascii=False)


def _text(found: Reconciliation, old: Comparison | None, handle: IndexRef) -> str:
    lines = [f"{handle.alias} -> {handle.physical} at {handle.endpoint}"]
    lines += _lines(found, _MEANING)
    if old is not None:
        lines += ["", "against the old results", *_lines(old, MEANING)]
    return "\n".join(lines)


def _lines(found: Reconciliation | Comparison, meanings: Mapping[str, str]) -> list[str]:
    cells = dataclasses.asdict(found)
    counts = {name: len(one) if isinstance(one, list) else one for name, one in cells.items()}
    lines = [" · ".join(f"{name} {count:,}" for name, count in counts.items())]
    for name, meaning in meanings.items():
        books: list[str] = cells[name]
        if books:
            lines.append(f"{name}: {meaning}")
            lines += [f"  {book}" for book in books[:_SHOWN]]
            if len(books) > _SHOWN:
                lines.append(f"  and {len(books) - _SHOWN:,} more (output=json names all)")
    return lines
