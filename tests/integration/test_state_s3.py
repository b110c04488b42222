"""The state on S3: the same contract against moto, and faults of a network."""

from __future__ import annotations

import os
import pickle  # noqa: TID251
import threading
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from raypipe.core.errors import SetupError
from raypipe.core.s3 import S3Connection
from raypipe.ledger.checkpoint import Checkpoint, Processed
from raypipe.ledger.writer_lock import WriterLock
from raypipe.state import s3 as s3_state
from raypipe.state.factory import open_state
from raypipe.state.latest_rows import latest_rows
from raypipe.state.parquet_table import ParquetTable
from raypipe.state.s3 import S3State
from raypipe.state.store import StateError
from raypipe.state.table_schema import TableSchema
from tests.integration.s3_server import CountingS3Server, put_object_directly
from tests.unit.state.contract import StateContract, assert_ignored_conditions_are_detected


@pytest.fixture
def state(s3: CountingS3Server, monkeypatch: pytest.MonkeyPatch) -> S3State:
    monkeypatch.setattr(s3_state, "_MAX_WAIT_S", 0.01)
    # moto gives private objects to signed requests alone; any keys will do.
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    connection = S3Connection(endpoint_url=s3.url)
    bucket = f"state-{uuid4().hex}"
    connection.client().create_bucket(Bucket=bucket)
    return S3State(bucket, "some/prefix", connection)


class TestS3State(StateContract):
    pass


def test_check_refuses_a_server_that_ignores_conditions(state: S3State) -> None:
    assert_ignored_conditions_are_detected(state)


def test_a_whole_bucket_is_a_state(state: S3State) -> None:
    whole = S3State(state.bucket, "", state.connection)
    whole.put("a/b", b"1")
    assert whole.list() == ["a/b"]
    assert whole.uri == f"s3://{state.bucket}"


def test_open_state_takes_the_prefix(state: S3State) -> None:
    state.put("a", b"1")
    assert open_state(f"{state.uri}/", state.connection).get("a") == b"1"
    assert open_state(state.uri, state.connection).uri == state.uri


def test_lists_and_deletes_every_page(state: S3State) -> None:
    names = [f"many/{number:04d}" for number in range(1_250)]
    for name in names:
        put_object_directly(state.bucket, f"some/prefix/{name}", b"")
    assert state.list("many/") == names
    state.delete(names)
    assert state.list("many/") == []


def test_missing_bucket_is_named(state: S3State) -> None:
    missing = S3State("no-such-bucket", "p", state.connection)
    with pytest.raises(SetupError, match=r"s3://no-such-bucket/p.*the bucket does not exist"):
        missing.check()


def test_no_server_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_state, "_MAX_WAIT_S", 0.01)
    nowhere = S3State("b", "p", S3Connection(endpoint_url="http://127.0.0.1:1", anonymous=True))
    with pytest.raises(SetupError, match=r"127\.0\.0\.1:1.*no server answers"):
        nowhere.check()


def test_state_error_pickles() -> None:
    error = pickle.loads(pickle.dumps(StateError("what and the way out")))
    assert isinstance(error, SetupError)
    assert str(error) == "what and the way out"


@dataclass(frozen=True)
class Rough(S3State):
    """An S3 that plays a script: for each put, what happens instead of an answer."""

    script: list[Any] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def _request(self, operation: str, **arguments: Any) -> Any:
        self.asked.append(operation)
        step = self.script.pop(0) if operation == "put_object" and self.script else "answer"
        if step == "lost answer":
            super()._request(operation, **arguments)
            raise ReadTimeoutError(endpoint_url="x")
        if step == "lost request":
            raise ReadTimeoutError(endpoint_url="x")
        if isinstance(step, Exception):
            raise step
        return super()._request(operation, **arguments)


def rough(state: S3State, *script: Any) -> Rough:
    return Rough(state.bucket, state.prefix, state.connection, script=list(script))


def client_error(status: int, code: str) -> ClientError:
    response: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "PutObject")


CONFLICT = client_error(409, "ConditionalRequestConflict")


def test_absent_put_whose_answer_was_lost_is_ours(state: S3State) -> None:
    it = rough(state, "lost answer")
    tag = it.put_if_absent("x", b"mine")
    assert state.get_tagged("x") == (b"mine", tag)


def test_absent_put_that_lost_the_race_in_the_dark_is_not_ours(state: S3State) -> None:
    state.put("x", b"another's")
    assert rough(state, "lost request").put_if_absent("x", b"mine") is None
    assert state.get("x") == b"another's"


def test_swap_whose_answer_was_lost_is_ours(state: S3State) -> None:
    old = state.put_if_absent("x", b"1")
    assert old
    new = rough(state, "lost answer").put_if_match("x", b"2", old)
    assert state.get_tagged("x") == (b"2", new)


def test_put_whose_every_answer_was_lost_is_read_back(state: S3State) -> None:
    it = rough(state, "lost answer", *["lost request"] * 4)
    assert it.put_if_absent("x", b"mine")
    assert it.asked[-1] == "get_object"


def test_put_that_never_arrives_is_an_error(state: S3State) -> None:
    it = rough(state, *["lost request"] * 5)
    with pytest.raises(SetupError, match="x"):
        it.put_if_absent("x", b"mine")
    assert state.get("x") is None


@pytest.mark.parametrize("fault", [CONFLICT, client_error(503, "SlowDown"), "lost request"])
def test_transient_faults_are_tried_again(state: S3State, fault: Any) -> None:
    it = rough(state, fault, fault)
    assert it.put_if_absent("x", b"1")
    assert it.asked.count("put_object") == 3
    again = rough(state, fault)
    again.put("y", b"1")
    assert again.asked.count("put_object") == 2


def test_a_conflict_then_taken_is_taken(state: S3State) -> None:
    state.put("x", b"mine")
    # Equal bytes of another writer: a 409 says for sure that ours was not written.
    assert rough(state, CONFLICT).put_if_absent("x", b"mine") is None


def test_retries_are_bounded(state: S3State) -> None:
    it = rough(state, *[EndpointConnectionError(endpoint_url="x")] * 20)
    with pytest.raises(SetupError, match="no server answers"):
        it.put("x", b"1")
    assert it.asked.count("put_object") == 5


def test_denied_names_the_permissions(state: S3State) -> None:
    it = rough(state, client_error(403, "AccessDenied"))
    with pytest.raises(SetupError, match=r"403.*s3:PutObject"):
        it.put("x", b"1")
    assert it.asked == ["put_object"]


def test_denied_delete_is_named(state: S3State, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {"Errors": [{"Code": "AccessDenied", "Key": "some/prefix/x"}]}
    monkeypatch.setattr(S3State, "_request", lambda *_, **__: answer)
    with pytest.raises(SetupError, match=r"some/prefix/x.*s3:DeleteObject"):
        state.delete(["x"])


def test_a_part_deleted_while_it_is_read_counts_as_gone(state: S3State) -> None:
    state.put("big", bytes(3_000_000))
    reader = state.open("big")
    assert reader is not None
    state.delete(["big"])
    with pytest.raises(FileNotFoundError):
        reader.read(10)


def test_columns_of_a_large_part_are_read_alone(state: S3State) -> None:
    schema = pa.schema([("id", pa.string()), ("blob", pa.binary()), ("run_seq", pa.int64())])
    parts = ParquetTable(state, "big", TableSchema(schema, "big"), ("id",))
    rows = [{"id": f"{n}", "blob": os.urandom(50_000), "run_seq": 1} for n in range(100)]
    parts.write(pa.Table.from_pylist(rows, schema=schema), 1, 0, 0)
    fetched: list[int] = []

    class Counting(S3State):
        def _fetch_range(self, name: str, byte_range: str) -> tuple[bytes, int]:
            data, size = super()._fetch_range(name, byte_range)
            fetched.append(len(data))
            return data, size

    thrifty = Counting(state.bucket, state.prefix, state.connection)
    table = ParquetTable(thrifty, "big", TableSchema(schema, "big"), ("id",)).read(["id"])
    assert table["id"].to_pylist() == [row["id"] for row in rows]
    assert sum(fetched) < 1_200_000  # of 5 MB


def test_compaction_while_reading(state: S3State) -> None:
    schema = pa.schema([("id", pa.string()), ("run_seq", pa.int64())])
    parts = ParquetTable(state, "p", TableSchema(schema, "p"), ("id",))
    for number in range(20):
        table = pa.table({"id": [f"{number}"], "run_seq": pa.array([1], pa.int64())})
        parts.write(table, 1, number, 0)

    once = threading.Lock()

    class Late(S3State):
        """Between the listing and the reading, everything is compacted."""

        def open(self, name: str) -> Any:
            with once:
                parts.compact(2)
            return super().open(name)

    late = ParquetTable(
        Late(state.bucket, state.prefix, state.connection), "p", parts.schema, ("id",)
    )
    assert len(latest_rows(late.read(), ["id"])) == 20
    assert len(parts.part_names()) == 1


def test_claim_and_checkpoint_on_s3(state: S3State) -> None:
    with WriterLock.acquire(state) as claim:
        assert claim.run_seq == 1
        checkpoint = Checkpoint(state)
        row = Processed("b", "e", "r", "i", "g", 1, 5.0)
        assert (
            checkpoint.append([row], claim.run_seq, 0, 0) == "part-00000001-000000-000000.parquet"
        )
        assert ("b", "e") in checkpoint.processed_versions("g", {"r"})
    with WriterLock.acquire(state) as claim:
        assert claim.run_seq == 2
