"""`raypipe export` reads a state on S3 and writes to S3, in one put or in parts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import raypipe
from raypipe.core.s3 import S3Connection
from raypipe.exporter import targets
from raypipe.ledger.document_store import DocumentStore
from raypipe.state.s3 import S3State
from raypipe.state.store import state_id
from tests.integration.raypipe_command import run_in_process
from tests.integration.s3_server import CountingS3Server
from tests.unit.ledger.documents import make_document

BOOKS = 400


@pytest.fixture
def options(s3: CountingS3Server, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Make a bucket with a state, and return the options that reach it."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    s3.create_bucket("exports")
    state = S3State("exports", "state", connect(s3))
    state_id(state)
    vector = tuple(number / 1_000 for number in range(256))
    documents = [make_document(f"b{i}", summary_vector=vector) for i in range(BOOKS)]
    DocumentStore(state).append(documents, 1, 0, 0)
    return {
        "storage": "s3",
        "storage.bucket": "exports",
        "storage.endpoint_url": s3.url,
        "storage.region": "us-east-1",
        "state.uri": "s3://exports/state",
    }


def connect(s3: CountingS3Server) -> S3Connection:
    return S3Connection(region="us-east-1", endpoint_url=s3.url)


def read(s3: CountingS3Server, key: str) -> bytes:
    return s3.objects("exports")[key]


def test_a_command_writes_an_object_and_keeps_what_exists(
    s3: CountingS3Server, options: dict[str, Any], tmp_path: Path
) -> None:
    args = [f"{name}={value}" for name, value in options.items()]
    args += ["to=s3://exports/out/", "vectors=false"]
    report = json.loads(run_in_process("export", [*args, "output=json"]))
    assert (report["to"], report["documents"]) == ("s3://exports/out/documents.parquet", BOOKS)
    (tmp_path / "x").write_bytes(read(s3, "out/documents.parquet"))
    assert pq.read_metadata(tmp_path / "x").num_rows == BOOKS
    with pytest.raises(raypipe.errors.OptionError, match="exists already"):
        run_in_process("export", args)
    printed = run_in_process("export", [*args, "overwrite=true"])
    assert f"wrote   {BOOKS} documents" in printed


def test_a_large_file_is_sent_in_parts(
    s3: CountingS3Server, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "PART_BYTES", 5 << 20)
    monkeypatch.setattr(targets, "_MAX_PART_BYTES", 5 << 20)
    with targets.open_target("s3://exports/big", connect(s3)) as file:
        for number in range(12):
            file.write(bytes([number]) * (1 << 20))
        assert file.tell() == 12 << 20
    assert read(s3, "big") == b"".join(bytes([number]) * (1 << 20) for number in range(12))


def test_a_failed_upload_leaves_nothing(
    s3: CountingS3Server, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets, "PART_BYTES", 5 << 20)

    def fail() -> None:
        with targets.open_target("s3://exports/big", connect(s3)) as file:
            file.write(bytes(6 << 20))
            raise raypipe.errors.SetupError("the state is gone")

    with pytest.raises(raypipe.errors.SetupError, match="the state is gone"):
        fail()
    client = connect(s3).client()
    assert "Uploads" not in client.list_multipart_uploads(Bucket="exports")
    assert client.list_objects_v2(Bucket="exports", Prefix="big")["KeyCount"] == 0


def test_a_bucket_that_does_not_exist_is_named(
    s3: CountingS3Server, options: dict[str, Any]
) -> None:
    with pytest.raises(raypipe.errors.SetupError, match=r"to=s3://nowhere/x.jsonl at http"):
        raypipe.export("s3://nowhere/x.jsonl", settings=False, **options)


def test_a_state_on_s3_is_read(options: dict[str, Any]) -> None:
    uri = options.pop("state.uri")
    table = raypipe.read_documents(uri, ["key"], settings=False, **options)
    assert table.num_rows == BOOKS
    assert raypipe.failures(uri, settings=False, **options) == []
    with pytest.raises(raypipe.errors.SetupError, match="there is no state at s3://exports/other"):
        raypipe.read_documents("s3://exports/other", settings=False, **options)
