"""The newest document of each book, from parts of several recipes, versions and runs."""

from __future__ import annotations

from pathlib import Path

import cloudpickle
import pyarrow as pa
import pytest

from raypipe.core.errors import OptionError, SetupError
from raypipe.ledger import newest_documents
from raypipe.ledger.document_store import DocumentStore
from raypipe.ledger.newest_documents import (
    check_columns,
    check_exists,
    find_recipe,
    read_batches,
    select_newest,
)
from raypipe.ledger.tombstones import Tombstones
from raypipe.state.local import LocalState
from tests.unit.ledger.documents import make_document


@pytest.fixture
def store(tmp_path: Path) -> DocumentStore:
    return DocumentStore(LocalState(str(tmp_path)))


def read(store: DocumentStore, recipe: str | None = None) -> dict[str, str]:
    """Return the summary of each book, and check that each book occurs once."""
    batches = select_newest(store, recipe)
    table = pa.concat_tables(read_batches(batches, ["book_id", "summary"]))
    books: list[str] = table["book_id"].to_pylist()
    assert len(books) == len(set(books))
    return dict(zip(books, table["summary"].to_pylist(), strict=True))


def fill(store: DocumentStore) -> None:
    """Add three books: a in two versions, b with two recipes, c in one part with a."""
    store.append([make_document("a", summary="a1"), make_document("c", summary="c1")], 1, 0, 0)
    store.append([make_document("b", summary="b of d1")], 1, 1, 0)
    store.append([make_document("a", etag="e2", summary="a2", finished_at=6.0)], 2, 0, 0)
    newer = make_document("b", summary="b of d2", document_recipe="d2", finished_at=7.0)
    store.append([newer], 3, 0, 0)


def test_the_newest_version_of_any_recipe_counts(store: DocumentStore) -> None:
    fill(store)
    assert read(store) == {"a": "a2", "b": "b of d2", "c": "c1"}
    assert read(store, "d1") == {"a": "a2", "b": "b of d1", "c": "c1"}
    assert read(store, "d2") == {"b": "b of d2"}


def test_deleted_and_renamed_books_are_left_out(store: DocumentStore) -> None:
    fill(store)
    Tombstones(store.state).append({"a": "a.txt"}, 4)
    Tombstones(store.state).append({"b": "b.txt", "c": "c.txt"}, 5, {"b": "c", "c": "not there"})
    assert read(store) == {"c": "c1"}, "the new name of c is not finished"


def test_a_part_that_was_compacted_meanwhile_is_read_from_its_replacement(
    store: DocumentStore,
) -> None:
    fill(store)
    batches = select_newest(store)
    assert store.compact("d1", threshold=2) == 3
    tables = [batch.read(["book_id", "summary"]) for batch in batches]
    assert sorted(pa.concat_tables(tables)["summary"].to_pylist()) == ["a2", "b of d2", "c1"]
    store.delete_recipe("d1")
    with pytest.raises(SetupError, match="were deleted while they were read"):
        batches[0].read(["book_id"])


def test_large_parts_are_read_in_small_batches(
    store: DocumentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(newest_documents, "BATCH", 3)
    store.append([make_document(f"b{number}") for number in range(10)], 1, 0, 0)
    store.append([make_document("b4", summary="new", finished_at=9.0)], 2, 0, 0)
    batches = select_newest(store)
    assert [len(batch.rows) for batch in batches] == [3, 3, 3, 1]
    copies = cloudpickle.loads(cloudpickle.dumps(batches))
    assert len(cloudpickle.dumps(batches[0])) < 4_000, "a batch holds its own ids only"
    table = pa.concat_tables(read_batches(copies, ["book_id", "summary"]))
    assert sorted(table["book_id"].to_pylist()) == sorted(f"b{number}" for number in range(10))
    assert "new" in table["summary"].to_pylist()


def test_an_empty_state_has_no_documents(store: DocumentStore) -> None:
    assert select_newest(store) == []
    with pytest.raises(SetupError, match="there is no state at"):
        check_exists(store.state)


def test_a_recipe_is_found_by_its_beginning(store: DocumentStore) -> None:
    fill(store)
    check_exists(store.state)
    assert find_recipe(store, "d1") == "d1"
    with pytest.raises(OptionError, match=r"recipe=d: 2 recipes .* d1 .s, e, 3 books"):
        find_recipe(store, "d")
    with pytest.raises(OptionError, match="recipe=x: no recipes"):
        find_recipe(store, "x")


def test_unknown_columns_are_named() -> None:
    assert check_columns(["key", "title", "key"]) == ["key", "title"]
    assert "summary_vector" in check_columns([])
    with pytest.raises(OptionError, match="no column titel; choose of book_id, key"):
        check_columns(["titel"])
