"""Check that a new index holds what the ledger records, before it is served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np
import orjson

from raypipe.core.errors import SetupError
from raypipe.ledger.document_store import DocumentStore
from raypipe.ledger.facade import Ledger
from raypipe.opensearch.index import Index
from raypipe.opensearch.index.encoding import document_body
from raypipe.opensearch.index.mapping import VECTOR
from raypipe.opensearch.index.reads import IndexedBook

_SAMPLE_SIZE = 20
"""Documents that are compared field by field; each must also be its own nearest neighbor."""
_RUN_FIELDS = ("run_seq", "finished_at", "node_id")
"""Fields that describe the run that wrote a document, not its content."""
_IDS_SHOWN = 5
_SCORE_TOLERANCE = 1e-4  # documents with equal vectors are equally near
_VECTOR_TOLERANCE = 1e-5


def check_index(index: Index, ledger: Ledger) -> dict[str, IndexedBook]:
    """Compare an index with the ledger, and a sample of its documents with the finished ones.

    Args:
        index: The index.
        ledger: The ledger.

    Returns:
        The books in the index, by id.

    Raises:
        SetupError: The index lacks books, or holds other versions or other documents.
    """
    rows = ledger.checkpoint.read_generation(index.ref.generation)
    columns = (rows[name].to_pylist() for name in ("book_id", "etag", "recipe"))
    versions = {book_id: (etag, recipe) for book_id, etag, recipe in zip(*columns, strict=True)}
    present = _scan_until_complete(index, versions.keys())
    missing = [book_id for book_id in versions if book_id not in present]
    if missing:
        raise _mismatch(index, f"it lacks {len(missing):,} books ({_list_ids(missing)})")
    outdated = [
        book_id
        for book_id, version in versions.items()
        if (present[book_id].etag, present[book_id].document_recipe) != version
    ]
    if outdated:
        problem = f"it holds other versions of {len(outdated):,} books ({_list_ids(outdated)})"
        raise _mismatch(index, problem)
    recorded = [present[book_id] for book_id in sorted(versions)]
    step = max(1, len(recorded) // _SAMPLE_SIZE)
    _compare_documents(index, ledger.documents, recorded[::step][:_SAMPLE_SIZE])
    return present


def _scan_until_complete(index: Index, expected: Set[str]) -> dict[str, IndexedBook]:
    """Return the books in the index; wait for acknowledged books that a search finds late."""
    index.refresh()
    present: dict[str, IndexedBook] = {}
    for _ in index.visibility_polls():
        present = {book.book_id: book for book in index.scan()}
        if expected <= present.keys():
            break
    return present


def _compare_documents(
    index: Index, documents: DocumentStore, sample: Sequence[IndexedBook]
) -> None:
    finished = {
        recipe: documents.finished_versions([recipe])
        for recipe in {book.document_recipe for book in sample}
    }
    sources = index.mget([book.book_id for book in sample], ["*"])
    for book in sample:
        part = finished[book.document_recipe].get((book.book_id, book.etag))
        stored = documents.read(part, [book.book_id], [book.etag]) if part else []
        source = sources[book.book_id]
        if not stored or source is None:
            continue
        dimension = index.ref.content.dimension or len(stored[0].summary_vector)
        body = orjson.dumps(document_body(stored[0], dimension), option=orjson.OPT_SERIALIZE_NUMPY)
        expected = orjson.loads(body)
        if field := _find_difference(expected, source):
            raise _mismatch(index, f"book {book.book_id} has another {field} than was finished")
        if not index.is_nearest(book.book_id, expected[VECTOR], _SCORE_TOLERANCE):
            raise _mismatch(index, f"book {book.book_id} is not found by its own vector")


def _find_difference(expected: Mapping[str, Any], source: Mapping[str, Any]) -> str:
    """Return the name of the first field that differs, or ''."""
    for name, value in expected.items():
        if name in _RUN_FIELDS:
            continue
        if name == VECTOR:
            vector = np.asarray(source.get(name, []))
            same = np.allclose(np.asarray(value), vector, atol=_VECTOR_TOLERANCE)
        else:
            same = source.get(name) == value
        if not same:
            return name
    return ""


def _mismatch(index: Index, problem: str) -> SetupError:
    return SetupError(
        f"the new index {index.ref.physical} is not served: {problem}. Delete it and run again; "
        "the documents are kept"
    )


def _list_ids(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - _IDS_SHOWN:,} more" if len(ids) > _IDS_SHOWN else ""
    return ", ".join(ids[:_IDS_SHOWN]) + more
