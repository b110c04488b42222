"""Hold the listing, the ledger and the index against each other, book by book."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from raypipe import config
from raypipe.audit import Audit, audit
from raypipe.checkpoint import Checkpoint
from raypipe.commands.endpoints import fill_endpoints
from raypipe.embedded.services import Services
from raypipe.errors import SetupError
from raypipe.failures import FailureLog, standing
from raypipe.opensearch.index import find
from raypipe.opensearch.scan import refresh, scan_ids
from raypipe.opensearch.settings import IndexHandle, OpenSearchIndex
from raypipe.state import State, open_state

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
        0 all agree; 1 ledger and index disagree; 3 books failed; 4 books are pending.

    Raises:
        SetupError: There is no index, or one of the three cannot be read.
    """
    options = config.options(cfg)
    with Services(Path(options.embedded.data)) as services:
        fill_endpoints(cfg, services)
        store = config.required(cfg, "storage")
        index: OpenSearchIndex = config.required(cfg, "opensearch")
        state = open_state(options.state.uri, getattr(store, "connection", None))
        handle = _found(index)
        refresh(index, handle)
        indexed = {one.book_id: one.etag for one in scan_ids(index, handle)}
        found = audit(store.list_books(), _ledger(state, handle), indexed, _failed(state))
    print(_json(found) if options.output == "json" else _text(found, handle))
    return found.exit_code


def _found(index: OpenSearchIndex) -> IndexHandle:
    handle = find(index)
    if handle is None:
        raise SetupError(
            f"opensearch.index={index.index} is not at {index.connection.endpoint}; "
            "`raypipe run` makes it, or give another name"
        )
    return handle


def _ledger(state: State, handle: IndexHandle) -> dict[str, str]:
    table = Checkpoint(state=state).of_generation(handle.generation)
    return dict(zip(table["book_id"].to_pylist(), table["etag"].to_pylist(), strict=True))


def _failed(state: State) -> set[str]:
    failures = standing(FailureLog(state).known(), Checkpoint(state=state).history())
    return set(failures["book_id"].to_pylist())


def _counts(found: Audit) -> dict[str, int]:
    return {name: len(books) for name, books in dataclasses.asdict(found).items()}


def _json(found: Audit) -> str:
    named = {name: books for name, books in dataclasses.asdict(found).items() if name != "good"}
    report: dict[str, Any] = {"good": len(found.good), **named, "exit_code": found.exit_code}
    return json.dumps(report, ensure_ascii=False)


def _text(found: Audit, handle: IndexHandle) -> str:
    counts = _counts(found)
    lines = [f"{handle.alias} -> {handle.physical} at {handle.endpoint}"]
    lines.append(" · ".join(f"{name} {count:,}" for name, count in counts.items()))
    for name, meaning in _MEANING.items():
        books: list[str] = getattr(found, name)
        if books:
            lines.append(f"{name}: {meaning}")
            lines += [f"  {book}" for book in books[:_SHOWN]]
            if len(books) > _SHOWN:
                lines.append(f"  and {len(books) - _SHOWN:,} more (output=json names all)")
    return "\n".join(lines)
