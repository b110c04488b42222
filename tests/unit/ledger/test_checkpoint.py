from __future__ import annotations

import pickle  # noqa: TID251
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from raypipe.ledger.checkpoint import PROCESSED_SCHEMA, Checkpoint, CheckpointSettings, Processed
from raypipe.state.local import LocalState


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    return Checkpoint(LocalState(str(tmp_path)))


def processed(
    book: str, *, etag: str = "e1", recipe: str = "r1", generation: str = "g1", run: int = 1
) -> Processed:
    return Processed(book, etag, recipe, "books-1", generation, run, 100.0 + run)


def test_appended_rows_are_read(checkpoint: Checkpoint) -> None:
    name = checkpoint.append([processed("a"), processed("b")], 1, 4, 0)
    assert name == "part-00000001-000004-000000.parquet"
    assert checkpoint.read_run(1).schema == PROCESSED_SCHEMA
    table = checkpoint.read_processed("g1", {"r1"})
    assert table.column_names == ["book_id", "etag", "run_seq", "processed_at"]
    assert table.to_pylist()[0] == {
        "book_id": "a",
        "etag": "e1",
        "run_seq": 1,
        "processed_at": 101.0,
    }


def test_an_empty_checkpoint_has_no_books(checkpoint: Checkpoint) -> None:
    assert len(checkpoint.read_processed("g1", {"r1"})) == 0
    assert len(checkpoint.processed_versions("g1", {"r1"})) == 0
    assert len(checkpoint.read_run(1)) == 0
    assert len(checkpoint.read_latest()) == 0
    assert checkpoint.append([], 1, 0, 0) == ""


def test_versions_are_those_of_a_generation_and_recipe(checkpoint: Checkpoint) -> None:
    checkpoint.append(
        [processed("a"), processed("b", generation="g2"), processed("c", recipe="r2")], 1, 0, 0
    )
    assert set(checkpoint.processed_versions("g1", {"r1"})) == {("a", "e1")}
    assert set(checkpoint.processed_versions("g2", {"r1"})) == {("b", "e1")}
    assert ("a", "e2") not in checkpoint.processed_versions("g1", {"r1"})


def test_a_changed_book_has_its_last_etag_only(checkpoint: Checkpoint) -> None:
    checkpoint.append([processed("a", etag="e1", run=1)], 1, 0, 0)
    checkpoint.append([processed("a", etag="e2", run=2)], 2, 0, 0)
    assert set(checkpoint.processed_versions("g1", {"r1"})) == {("a", "e2")}


def test_a_later_recipe_replaces_the_document(checkpoint: Checkpoint) -> None:
    """An index holds a document per book: a return to the old recipe must index again."""
    checkpoint.append([processed("a", recipe="r1", run=1)], 1, 0, 0)
    checkpoint.append([processed("a", recipe="r2", run=2)], 2, 0, 0)
    assert len(checkpoint.read_processed("g1", {"r1"})) == 0
    assert len(checkpoint.read_processed("g1", {"r2"})) == 1


def test_a_deleted_book_is_in_no_index_and_in_no_run(checkpoint: Checkpoint) -> None:
    checkpoint.append([processed("a", run=1), processed("b", run=1)], 1, 0, 0)
    checkpoint.append([processed("a", etag="", recipe="", run=2)], 2, "removed", 0)
    assert checkpoint.read_generation("g1")["book_id"].to_pylist() == ["b"]
    assert len(checkpoint.read_run(2)) == 0


def test_the_number_of_the_run_decides_before_the_clock(checkpoint: Checkpoint) -> None:
    on_a_slow_clock = replace(processed("a", etag="e2", run=2), processed_at=1.0)
    checkpoint.append([on_a_slow_clock], 2, 0, 0)
    checkpoint.append([processed("a", etag="e1", run=1)], 1, 0, 0)
    assert set(checkpoint.processed_versions("g1", {"r1"})) == {("a", "e2")}


def test_the_parts_of_a_retried_task_count_once(checkpoint: Checkpoint) -> None:
    first = checkpoint.append([processed("a"), processed("b")], 1, 0, 0)
    second = checkpoint.append([processed("a"), processed("b")], 1, 0, 0)
    assert first != second
    assert checkpoint.read_run(1)["book_id"].to_pylist() == ["a", "b"]


def test_the_books_of_a_run_survive_compaction(checkpoint: Checkpoint) -> None:
    for task in range(6):
        checkpoint.append([processed(f"{task}", run=1)], 1, task, 0)
    checkpoint.append([processed("x", run=2)], 2, 0, 0)
    assert checkpoint.compact(threshold=3) == 7
    assert len(checkpoint.read_run(1)) == 6
    assert checkpoint.read_run(2)["book_id"].to_pylist() == ["x"]


def test_compaction_keeps_generations_apart(checkpoint: Checkpoint) -> None:
    checkpoint.append([processed("a", generation="g1", run=1)], 1, 0, 0)
    checkpoint.append([processed("a", generation="g2", run=2)], 2, 0, 0)
    checkpoint.compact(threshold=2)
    assert len(checkpoint.read_processed("g1", {"r1"})) == 1
    assert len(checkpoint.read_processed("g2", {"r1"})) == 1
    assert checkpoint.read_latest()["generation"].to_pylist() == ["g2"]


def test_rows_get_the_number_of_the_run(checkpoint: Checkpoint) -> None:
    checkpoint.append([processed("a", run=1)], 7, 0, 0)
    assert checkpoint.read_run(7)["book_id"].to_pylist() == ["a"]


def test_a_worker_writes_through_a_pickled_checkpoint(checkpoint: Checkpoint) -> None:
    pickle.loads(pickle.dumps(checkpoint)).append([processed("a")], 1, 0, 0)
    assert len(checkpoint.read_run(1)) == 1


@pytest.mark.parametrize(("option", "skip"), [("parquet", True), ("none", False)])
def test_conf_sets_skip(option: str, skip: bool, tmp_path: Path) -> None:
    file = Path(__file__).parents[3] / "conf" / "checkpoint" / f"{option}.yaml"
    settings = yaml.safe_load(file.read_text())
    assert settings.pop("_target_") == "raypipe.ledger.checkpoint.CheckpointSettings"
    checkpoint_settings = CheckpointSettings(**settings)
    assert checkpoint_settings.skip is skip
    state = LocalState(str(tmp_path))
    assert checkpoint_settings.open(state) == Checkpoint(state)
