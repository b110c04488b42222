from __future__ import annotations

import pickle  # noqa: TID251
from pathlib import Path

import pytest

from raypipe.core.book import DOCUMENT_SCHEMA, MODEL_FIELDS, documents_table
from raypipe.core.errors import SetupError
from raypipe.ledger.document_store import DocumentStore
from raypipe.ledger.recipes import FinishedRecipe
from raypipe.state.local import LocalState
from raypipe.state.table_schema import TableSchema
from tests.unit.ledger.documents import make_document as document


@pytest.fixture
def store(tmp_path: Path) -> DocumentStore:
    return DocumentStore(LocalState(str(tmp_path)))


def test_appended_documents_are_read(store: DocumentStore) -> None:
    part = store.append([document("a"), document("b")], 1, 3, 0)
    assert part == "d1/part-00000001-000003-000000.parquet"
    assert store.read(part, ["b", "a"]) == [document("b"), document("a")]
    assert store.read(part, ["none"]) == []
    assert store.read(part, []) == []


def test_without_documents_no_part_is_written(store: DocumentStore) -> None:
    assert store.append([], 1, 0, 0) == ""


def test_a_part_has_a_single_recipe(store: DocumentStore) -> None:
    with pytest.raises(ValueError, match="the same recipe"):
        store.append([document("a"), document("b", document_recipe="d2")], 1, 0, 0)
    with pytest.raises(ValueError, match="the same recipe"):
        store.append([document("a", document_recipe="")], 1, 0, 0)


def test_finished_versions_are_those_of_a_recipe(store: DocumentStore) -> None:
    old = store.append([document("a", etag="e1")], 1, 0, 0)
    new = store.append([document("a", etag="e2", run_seq=2)], 2, 0, 0)
    other = store.append([document("b", document_recipe="d2")], 1, 0, 0)
    assert dict(store.finished_versions({"d1"})) == {("a", "e1"): old, ("a", "e2"): new}
    assert dict(store.finished_versions({"d2"})) == {("b", "e1"): other}
    assert store.finished_versions({"d1"}).get(("b", "e1")) is None
    assert len(store.finished_versions({"d3"})) == 0


def test_the_parts_of_a_retried_task_count_once(store: DocumentStore) -> None:
    store.append([document("a", finished_at=1.0)], 1, 0, 0)
    later = store.append([document("a", finished_at=2.0)], 1, 0, 0)
    assert dict(store.finished_versions({"d1"})) == {("a", "e1"): later}


def test_summaries_with_another_embedder_are_found(store: DocumentStore) -> None:
    old = store.append([document("a"), document("b")], 1, 0, 0)
    new = store.append([document("a", document_recipe="d2", run_seq=2)], 2, 0, 0)
    store.append([document("c", document_recipe="d3", summary_recipe="s2")], 1, 0, 0)
    assert dict(store.summarized_versions("s1")) == {("a", "e1"): new, ("b", "e1"): old}
    assert dict(store.summarized_versions("s1", exclude=["d2"])) == {
        ("a", "e1"): old,
        ("b", "e1"): old,
    }
    assert len(store.summarized_versions("s9")) == 0


def test_documents_are_found_by_their_text(store: DocumentStore) -> None:
    old = store.append([document("a"), document("b")], 1, 0, 0)
    new = store.append([document("renamed", text_sha256="text of a", run_seq=2)], 2, 0, 0)
    store.append(
        [document("x", document_recipe="d9", summary_recipe="s9", text_sha256="other")], 1, 0, 0
    )
    texts = pickle.loads(pickle.dumps(store.text_index({"s1"})))
    assert dict(texts) == {"text of a": (new, "renamed"), "text of b": (old, "b")}
    assert texts.get("other") is None
    assert texts.get("zzz") is None
    assert len(store.text_index({"none"})) == 0
    assert store.text_index({"none"}).get("text of a") is None


def test_workers_get_pickled_indexes(store: DocumentStore) -> None:
    part = store.append([document("a")], 1, 0, 0)
    assert pickle.loads(pickle.dumps(store.finished_versions({"d1"})))["a", "e1"] == part
    assert pickle.loads(pickle.dumps(store)).read(part, ["a"]) == [document("a")]


def test_documents_of_a_compacted_part_are_read(store: DocumentStore) -> None:
    parts = [store.append([document(f"{n}")], 1, n, 0) for n in range(5)]
    assert store.compact("d1", threshold=5) == 5
    assert store.read(parts[3], ["3"]) == [document("3")]
    (name,) = set(store.finished_versions({"d1"}).values())
    assert "~" in name
    assert [doc.book_id for doc in store.read(name, ["4", "0"])] == ["4", "0"]


def test_a_version_can_be_requested(store: DocumentStore) -> None:
    part = store.append([document("a", etag="e1")], 1, 0, 0)
    store.append([document("a", etag="e2", run_seq=2)], 2, 0, 0)
    store.append([document("b")], 2, 1, 0)
    assert store.read(part, ["a"], ["e1"]) == [document("a", etag="e1")]
    assert store.read(part, ["a"], ["e2"]) == []
    store.compact("d1", threshold=3)
    # Compaction kept the newer version, which must not be returned for the older one.
    assert store.read(part, ["a"], ["e1"]) == []
    assert [doc.etag for doc in store.read(part, ["a"])] == ["e2"]


def test_foreign_parts_are_named_in_the_error(store: DocumentStore) -> None:
    store.append([document("a")], 1, 0, 0)
    store.state.put("documents/d1/part-foreign.parquet", b"PAR1 nonsense PAR1")
    with pytest.raises(SetupError, match=r"documents/d1/part-foreign\.parquet"):
        store.finished_versions({"d1"})
    with pytest.raises(SetupError, match=r"documents/d1/part-foreign\.parquet"):
        store.read("d1/part-foreign.parquet", ["a"])


def test_the_newest_version_of_each_book_is_read(store: DocumentStore) -> None:
    first = [document("a"), document("b", document_recipe="d1")]
    store.append(first, 1, 0, 0)
    store.append([document("a", etag="e2", size=20, run_seq=2)], 2, 0, 0)
    store.append([document("a", etag="e3", document_recipe="d2")], 3, 0, 0)
    rows = {row["book_id"]: row for row in store.read_newest_books({"d1"}).to_pylist()}
    assert {name: row["etag"] for name, row in rows.items()} == {"a": "e2", "b": "e1"}
    assert rows["a"] == {
        "book_id": "a",
        "key": "a.txt",
        "etag": "e2",
        "size": 20,
        "modified": 1.0,
    }
    assert store.read_newest_books({"d3"}).num_rows == 0


def test_the_number_of_the_run_decides_before_the_clock(store: DocumentStore) -> None:
    store.append([document("a", etag="e1", finished_at=9.0)], 1, 0, 0)
    store.append([document("a", etag="e2", finished_at=1.0)], 2, 0, 0)
    assert store.read_newest_books({"d1"})["etag"].to_pylist() == ["e2"]


def test_recipes_are_listed_with_their_books(store: DocumentStore) -> None:
    assert store.list_recipes() == []
    assert store.read_newest_summaries().num_rows == 0
    store.append([document("a"), document("b")], 1, 0, 0)
    store.append([document("a", etag="e2")], 2, 0, 0)
    store.append([document("a", document_recipe="d2", embedder="f", title="New")], 3, 0, 0)
    assert store.list_recipes() == [
        FinishedRecipe("d1", "s", "e", 2),
        FinishedRecipe("d2", "s", "f", 1),
    ]
    assert store.recipe_names() == ["d1", "d2"]
    titles = {row["book_id"]: row["title"] for row in store.read_newest_summaries().to_pylist()}
    assert titles == {"a": "New", "b": "T"}


def test_degraded_documents_are_found_and_not_reused(store: DocumentStore) -> None:
    store.append([document("a", degraded="no answer"), document("b")], 1, 0, 0)
    assert store.degraded_books({"d1"}) == {"a"}
    assert set(store.summarized_versions("s1")) == {("b", "e1")}
    assert store.text_index({"s1"}).get("text of a") is None
    store.append([document("a", run_seq=2)], 2, 0, 0)
    assert store.degraded_books({"d1"}) == set()
    assert set(store.summarized_versions("s1")) == {("a", "e1"), ("b", "e1")}


def test_documents_of_an_older_version_are_read(store: DocumentStore) -> None:
    new = [name for name in DOCUMENT_SCHEMA.names if name in MODEL_FIELDS]
    table = documents_table([document("a")]).drop_columns(new)
    old = TableSchema(table.schema, kind="documents", version=1)
    store.state.put("documents/d1/part-00000001-000000-000000.parquet", old.encode(table))
    assert store.read("d1/part-00000001-000000-000000.parquet", ["a"]) == [document("a")]
    assert set(store.summarized_versions("s1")) == {("a", "e1")}
    assert store.degraded_books({"d1"}) == set()
