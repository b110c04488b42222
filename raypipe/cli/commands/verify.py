"""Compare the listing, the ledger and the index, book by book."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from raypipe.cli.compare_legacy import MEANINGS as LEGACY_MEANINGS
from raypipe.cli.compare_legacy import compare_with_legacy
from raypipe.cli.job_factory import open_job_state
from raypipe.cli.local_services import start_local_services
from raypipe.config.build import read_options, require_part
from raypipe.core.errors import SetupError
from raypipe.core.exit_codes import ERROR
from raypipe.core.printable import join_lines, to_json
from raypipe.embedded.services import Services
from raypipe.ledger.facade import Ledger
from raypipe.opensearch.index import Index, IndexAlias, IndexConfig, IndexRef
from raypipe.sources import BookSource
from raypipe.sources.listing import Listing, list_all, select_below
from raypipe.state.store import State
from raypipe.verify.compare import Comparison
from raypipe.verify.reconcile import IndexedVersion, Reconciliation, reconcile

_MAX_BOOKS = 10
"""Books listed for each difference in the text report."""

_MEANINGS: Mapping[str, str] = {
    "missing": "processed in the ledger, but not in the index; the next `raypipe run` indexes them",
    "differing": "the index has another version or recipe than the ledger; the next `raypipe run` "
    "indexes them",
    "unledgered": "in the index, but not in the ledger (after a kill); `raypipe run` repairs it",
    "failed": "failed; state.uri/failures has the reason",
    "pending": "new or changed; the next `raypipe run` processes them",
    "removed": "in the index, but no longer listed",
    "unseen": "in the index, in folders that cannot be listed; they stay in the index",
}
"""What each list of a `Reconciliation` means, in the order of the report."""


@dataclass(frozen=True)
class Verification:
    """The result of a verification.

    Args:
        books: The listing, the ledger and the index, compared.
        legacy: The comparison with the old results of `against`; None without `against`.
        index: The index that was compared.
    """

    books: Reconciliation
    legacy: Comparison | None
    index: IndexRef

    @property
    def exit_code(self) -> int:
        """Return the exit code of both comparisons; 1 counts more than 3 and 4."""
        codes = [self.books.exit_code, self.legacy.exit_code if self.legacy else 0]
        return ERROR if ERROR in codes else max(codes)


def main(cfg: DictConfig) -> int:
    """Compare, print the differences, and return 0 only if all books agree; errors as `carry_out`.

    Returns:
        0 if all books agree; 1 if ledger and index differ, or if old results of `against` have no
        new document or differ from it; 3 if books failed; 4 if books are pending.
    """
    options, result = read_options(cfg), carry_out(cfg)
    if options.output == "json":
        print(to_json(to_report(result)))
    else:
        print(_format_text(result.books, result.legacy, result.index))
    return result.exit_code


def carry_out(cfg: DictConfig) -> Verification:
    """Return the comparison.

    Raises:
        SetupError: There is no index, or the listing, the ledger or the index cannot be read.
    """
    options = read_options(cfg)
    with Services(Path(options.embedded.data)) as services:
        start_local_services(cfg, services, needs_index=True)
        store = require_part(cfg, "storage")
        index = _find_index(require_part(cfg, "opensearch"))
        state = open_job_state(options, store)
        index.refresh()
        indexed = {
            book.book_id: IndexedVersion(book.etag, book.document_recipe) for book in index.scan()
        }
        listing = list_all(store)
        recorded = _read_ledger(state, index.ref.generation)
        unseen = _find_unseen(state, store, listing)
        result = reconcile(listing.books, recorded, indexed, _read_failed(state), unseen)
        legacy = None
        if options.against:
            embedder = require_part(cfg, "embedder")
            legacy = compare_with_legacy(
                options.against, listing.books, store, state, embedder, options.most_nearer
            )
    return Verification(result, legacy, index.ref)


def _find_index(config: IndexConfig) -> Index:
    index = IndexAlias(config).find()
    if index is None:
        raise SetupError(
            f"opensearch.index={config.index} does not exist at {config.connection.endpoint}; "
            "`raypipe run` makes it, or give another name"
        )
    if not index.ref.generation:
        raise SetupError(f"{config.label} was not created by raypipe; set another opensearch.index")
    return index


def _read_ledger(state: State, generation: str) -> dict[str, IndexedVersion]:
    """Return the version of each book that the ledger has for this index, by book id."""
    table = Ledger(state).checkpoint.read_generation(generation)
    columns = (table[name].to_pylist() for name in ("book_id", "etag", "recipe"))
    return {
        book_id: IndexedVersion(etag, recipe)
        for book_id, etag, recipe in zip(*columns, strict=True)
    }


def _read_failed(state: State) -> set[str]:
    """Return the ids of the books whose last attempt failed."""
    return set(Ledger(state).unresolved_failures()["book_id"].to_pylist())


def _find_unseen(state: State, store: BookSource, listing: Listing) -> set[str]:
    """Return the ids of the finished books in folders that could not be listed."""
    if not listing.unlisted:
        return set()
    books = Ledger(state).documents.read_books_of_source(store.identity)
    keys = zip(books["book_id"].to_pylist(), books["key"].to_pylist(), strict=True)
    return select_below(keys, listing.unlisted)


def to_report(result: Verification) -> dict[str, Any]:
    """Return what `output=json` prints."""
    report = _to_dict(result.books)
    if result.legacy is not None:
        report["against"] = _to_dict(result.legacy)
    return report


def _to_dict(result: Reconciliation | Comparison) -> dict[str, Any]:
    """Return all lists of a result; the good books as a number only."""
    return {**dataclasses.asdict(result), "good": len(result.good), "exit_code": result.exit_code}


def _format_text(result: Reconciliation, legacy: Comparison | None, ref: IndexRef) -> str:
    lines = [f"{ref.alias} -> {ref.physical} at {ref.endpoint}"]
    lines += _format_lists(result, _MEANINGS)
    if legacy is not None:
        lines += ["", "compared with the old results", *_format_lists(legacy, LEGACY_MEANINGS)]
    return join_lines(lines)


def _format_lists(result: Reconciliation | Comparison, meanings: Mapping[str, str]) -> list[str]:
    fields = dataclasses.asdict(result)
    counts = {
        name: len(value) if isinstance(value, list) else value for name, value in fields.items()
    }
    lines = [" · ".join(f"{name} {count:,}" for name, count in counts.items())]
    for name, meaning in meanings.items():
        books: list[str] = fields[name]
        if books:
            lines.append(f"{name}: {meaning}")
            lines += [f"  {book}" for book in books[:_MAX_BOOKS]]
            if len(books) > _MAX_BOOKS:
                lines.append(f"  and {len(books) - _MAX_BOOKS:,} more (output=json lists all)")
    return lines
