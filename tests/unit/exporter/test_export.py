"""Documents are written as parquet or JSON lines, as a whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raypipe.core.book import DOCUMENT_SCHEMA
from raypipe.core.errors import OptionError, SetupError
from raypipe.exporter import documents, targets
from raypipe.exporter.documents import ExportRequest, export_documents, resolve_target
from raypipe.ledger.document_store import DocumentStore
from raypipe.state.local import LocalState
from raypipe.state.store import state_id
from tests.unit.ledger.documents import make_document


@pytest.fixture
def state(tmp_path: Path) -> LocalState:
    state = LocalState(str(tmp_path / "state"))
    state_id(state)
    store = DocumentStore(state)
    store.append([make_document("a", summary="old"), make_document("b")], 1, 0, 0)
    new = make_document("a", summary="né", finished_at=6.0, summary_vector=(0.1, 2.0))
    store.append([new], 2, 0, 0)
    return state


def test_parquet_has_all_columns_with_their_types(state: LocalState, tmp_path: Path) -> None:
    target = tmp_path / "new" / "books.parquet"
    result = export_documents(state, ExportRequest(str(target)))
    table = pq.read_table(target)
    assert table.schema.equals(DOCUMENT_SCHEMA)
    assert sorted(table["summary"].to_pylist()) == ["né", "summary of b"]
    assert (result.documents, result.format, result.to) == (2, "parquet", str(target))
    assert result.bytes == target.stat().st_size
    assert [path.name for path in target.parent.iterdir()] == ["books.parquet"]


def test_json_lines_have_vectors_as_short_numbers(state: LocalState, tmp_path: Path) -> None:
    target = tmp_path / "books.jsonl"
    export_documents(state, ExportRequest(str(target)))
    rows = {row["book_id"]: row for row in map(json.loads, target.read_text().splitlines())}
    assert list(rows["a"]) == DOCUMENT_SCHEMA.names
    assert (rows["a"]["summary"], rows["a"]["summary_vector"]) == ("né", [0.1, 2.0])
    assert rows["b"]["keywords"] == ["one", "two"]


def test_columns_and_vectors_can_be_left_out(state: LocalState, tmp_path: Path) -> None:
    target = tmp_path / "books.jsonl"
    columns = ["key", "summary_vector"]
    export_documents(state, ExportRequest(str(target), columns=columns, vectors=False))
    assert {*target.read_text().splitlines()} == {'{"key":"a.txt"}', '{"key":"b.txt"}'}


@pytest.mark.parametrize(
    ("to", "given", "name", "meant"),
    [
        ("books.parquet", None, "books.parquet", "parquet"),
        ("books.ndjson", None, "books.ndjson", "jsonl"),
        ("books.jsonl", "parquet", "books.jsonl", "parquet"),
        ("books", None, "books", "parquet"),
        ("folder/", "jsonl", "folder/documents.jsonl", "jsonl"),
        ("existing", None, "existing/documents.parquet", "parquet"),
        ("s3://bucket", None, "s3://bucket/documents.parquet", "parquet"),
        ("s3://bucket/a/", "jsonl", "s3://bucket/a/documents.jsonl", "jsonl"),
        ("s3://bucket/a.jsonl", None, "s3://bucket/a.jsonl", "jsonl"),
    ],
)
def test_name_and_format_follow_from_the_target(
    to: str,
    given: str | None,
    name: str,
    meant: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "existing").mkdir()
    assert resolve_target(to, given) == (name if "://" in to else str(tmp_path / name), meant)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (ExportRequest("x", format="csv"), "format=csv: choose parquet or jsonl"),
        (ExportRequest("gs://x/y"), "to=gs://x/y: give a file, a folder or s3://bucket/key"),
        (ExportRequest(""), "to=: give a file"),
        (ExportRequest("x", recipe="z"), "recipe=z: no recipes"),
        (ExportRequest("x", columns=["z"]), "no column z"),
    ],
)
def test_a_wrong_request_is_named(request_: ExportRequest, message: str, state: LocalState) -> None:
    with pytest.raises(OptionError, match=message):
        export_documents(state, request_)


def test_an_existing_file_is_kept_unless_it_is_to_be_replaced(
    state: LocalState, tmp_path: Path
) -> None:
    target = tmp_path / "books.jsonl"
    target.write_text("mine")
    with pytest.raises(OptionError, match=r"books.jsonl exists already. Fix: .* overwrite=true"):
        export_documents(state, ExportRequest(str(target)))
    assert target.read_text() == "mine"
    export_documents(state, ExportRequest(str(target), overwrite=True))
    assert len(target.read_text().splitlines()) == 2


def test_a_file_that_appears_during_the_export_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "books.jsonl"

    def write() -> None:
        with targets.open_target(str(target)) as file:
            file.write(b"new")
            target.write_text("mine")

    with pytest.raises(OptionError, match="exists already"):
        write()
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_a_failed_export_leaves_no_file(
    state: LocalState, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Iterator[pa.Table]:
        yield DOCUMENT_SCHEMA.empty_table()
        raise SetupError("the state is gone")

    monkeypatch.setattr(documents, "read_batches", fail)
    folder = tmp_path / "out"
    for name in ("books.parquet", "books.jsonl"):
        with pytest.raises(SetupError, match="the state is gone"):
            export_documents(state, ExportRequest(str(folder / name)))
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_written_gets_one_line(state: LocalState, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match=r"to=.*/file/books cannot be written: "):
        export_documents(state, ExportRequest(str(tmp_path / "file" / "books")))


def test_only_regular_files_are_replaced(state: LocalState, tmp_path: Path) -> None:
    pipe = tmp_path / "books.jsonl"
    os.mkfifo(pipe)
    with pytest.raises(OptionError, match="exists already"):
        export_documents(state, ExportRequest(str(pipe)))
    with pytest.raises(OptionError, match="is not a regular file"):
        export_documents(state, ExportRequest(str(pipe), overwrite=True))
    assert pipe.is_fifo()


def test_a_target_that_cannot_exist_gets_one_line(state: LocalState, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").touch()
    for name in ("loop", "loop/below", "file/below", "x" * 300, "x" * 300 + "/below"):
        with pytest.raises(SetupError) as caught:
            export_documents(state, ExportRequest(str(tmp_path / name / "books.jsonl")))
        assert "\n" not in str(caught.value)
