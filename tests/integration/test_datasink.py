"""The public datasink on a real node and Ray: any columns, faults, rejected rows, its index."""

from __future__ import annotations

import datetime as dt
import logging
import os
import runpy
import uuid
from collections import deque
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest
import ray.data

from raypipe.core.errors import SetupError
from raypipe.opensearch.bulk.error_policy import SinkError
from raypipe.opensearch.connection.client import Connection
from raypipe.opensearch.datasink import (
    BasicAuth,
    OpenSearchDatasink,
    RejectedRow,
    RejectedRowsError,
    SinkResult,
)
from tests.integration.raypipe_command import ROOT
from tests.unit.opensearch.forwarding import Answer, Forwarding, serving

pytestmark = pytest.mark.usefixtures("shared_ray")

Fault = Callable[[Forwarding, bytes], Answer | None]
OVERLOADED = orjson.dumps({"error": {"type": "rejected_execution_exception"}, "status": 429})


@pytest.fixture
def node(opensearch_url: str) -> Connection:
    return Connection(opensearch_url)


@pytest.fixture
def index(node: Connection) -> Iterator[str]:
    name = f"sink-{uuid.uuid4().hex[:12]}"
    yield name
    for physical in node.ask("GET", f"/{name}*"):
        node.ask("DELETE", f"/{physical}")


def count(node: Connection, index: str) -> int:
    node.ask("POST", f"/{index}/_refresh")
    return int(node.ask("GET", f"/{index}/_count")["count"])


def source(node: Connection, index: str, doc_id: str) -> dict[str, Any]:
    found: dict[str, Any] = node.ask("GET", f"/{index}/_doc/{doc_id}")["_source"]
    return found


def describe(node: Connection, index: str) -> dict[str, Any]:
    [body] = node.ask("GET", f"/{index}").values()
    return dict(body)


def write(dataset: ray.data.Dataset, sink: OpenSearchDatasink) -> SinkResult:
    dataset.write_datasink(sink)
    assert sink.result is not None
    result = sink.result
    assert result.rows == result.acknowledged + result.rejected + result.duplicates
    return result


def with_vectors(batch: dict[str, Any]) -> dict[str, Any]:
    return {"id": batch["id"], "vector": np.ones((len(batch["id"]), 4), np.float32)}


def numbers(rows: int, blocks: int = 4) -> ray.data.Dataset:
    return ray.data.range(rows, override_num_blocks=blocks).map_batches(with_vectors)


def test_the_example_runs(node: Connection, capsys: pytest.CaptureFixture[str]) -> None:
    # As a script of its own it runs in tests/slow, with an older Ray.
    node.ask("DELETE", "/sink-example", ignore=(404,))
    runpy.run_path(str(ROOT / "examples" / "sink_only.py"))["main"](node.endpoint)
    assert "2,000 rows, 2,000 acknowledged, 0 rejected" in capsys.readouterr().out
    assert count(node, "sink-example") == 2_000
    node.ask("DELETE", "/sink-example")


def test_a_new_index_gets_a_vector_field_and_takes_small_blocks_in_few_requests(
    node: Connection, index: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="raypipe.opensearch.datasink")
    sink = OpenSearchDatasink(node.endpoint, index, id_column="id", vector_column="vector")
    result = write(numbers(1_000, 50).materialize(), sink)
    assert (result.acknowledged, result.requests, result.tasks) == (1_000, 1, 1)
    assert count(node, index) == 1_000
    body = describe(node, index)
    vector = body["mappings"]["properties"]["vector"]
    assert (vector["type"], vector["dimension"]) == ("knn_vector", 4)
    assert body["settings"]["index"]["knn"] == "true"
    lines = [record.message for record in caplog.records]
    assert len(lines) == 1
    assert lines[0].startswith(f"Wrote a dataset to {index} at {node.endpoint}: 1,000 rows, 1,000")
    # A second write replaces the same documents.
    assert write(numbers(1_000), sink).acknowledged == 1_000
    assert count(node, index) == 1_000


def test_the_first_rows_may_have_no_vector(node: Connection, index: str) -> None:
    sink = OpenSearchDatasink(node.endpoint, index, id_column="id", vector_column="vector")
    vectors = pa.array([None, None], pa.list_(pa.float32()))
    assert write(ray.data.from_arrow(pa.table({"id": [0, 1], "vector": vectors})), sink).rows == 2
    assert "vector" not in describe(node, index)["mappings"].get("properties", {})
    assert write(numbers(10), sink).acknowledged == 10
    assert describe(node, index)["mappings"]["properties"]["vector"]["dimension"] == 4
    assert count(node, index) == 10


def test_an_empty_dataset_writes_nothing(node: Connection, index: str) -> None:
    result = write(ray.data.range(0), OpenSearchDatasink(node.endpoint, index))
    assert (result.rows, result.requests) == (0, 0)


def test_columns_of_many_types_arrive(node: Connection, index: str) -> None:
    moment = dt.datetime(2024, 2, 29, 12, 30, tzinfo=dt.UTC)
    table = pa.table(
        {
            "id": ["a", "b"],
            "flag": [True, None],
            "price": [Decimal("12.50"), None],
            "raw": [b"\x00\xff", None],
            "at": pa.array([moment, None], pa.timestamp("us", "UTC")),
            "day": [moment.date(), None],
            "author": [{"name": "Edith", "born": moment.date(), "tags": ["x", "y"]}, None],
            "counts": pa.array([[("one", 1)], None], pa.map_(pa.string(), pa.int64())),
            "vector": pa.array([[1, 2], None], pa.list_(pa.float32(), 2)),
            "kind": pa.array(["new", "old"]).dictionary_encode(),
            "score": [0.25, float("nan")],
        }
    )
    sink = OpenSearchDatasink(node.endpoint, index, id_column="id", vector_column="vector")
    assert write(ray.data.from_arrow(table), sink).acknowledged == 2
    assert source(node, index, "a") == {
        "id": "a",
        "flag": True,
        "price": "12.50",
        "raw": "AP8=",
        "at": "2024-02-29T12:30:00.000000Z",
        "day": "2024-02-29",
        "author": {"name": "Edith", "born": "2024-02-29", "tags": ["x", "y"]},
        "counts": {"one": 1},
        "vector": [1.0, 2.0],
        "kind": "new",
        "score": 0.25,
    }
    fields = describe(node, index)["mappings"]["properties"]
    assert {name: fields[name]["type"] for name in ("at", "day", "vector", "score")} == {
        "at": "date",
        "day": "date",
        "vector": "knn_vector",
        "score": "float",
    }
    assert set(source(node, index, "b").values()) - {"b", "old"} == {None}


def test_tensors_of_ray_and_blocks_of_pandas_arrive(node: Connection, index: str) -> None:
    def images(batch: Any) -> Any:
        batch["image"] = list(np.ones((len(batch), 2, 2), np.uint8))
        batch["vector"] = list(np.ones((len(batch), 3), np.float32))
        return batch

    dataset = ray.data.range(4).map_batches(images, batch_format="pandas")
    sink = OpenSearchDatasink(node.endpoint, index, id_column="id", vector_column="vector")
    assert write(dataset, sink).acknowledged == 4
    wanted = {"id": 3, "image": [[1, 1], [1, 1]], "vector": [1.0, 1.0, 1.0]}
    assert source(node, index, "3") == wanted


def faulty(node: Connection, faults: deque[Fault]) -> type[Forwarding]:
    """Return a handler of bulk requests that takes the next fault for each."""

    class Faulty(Forwarding):
        def respond(self, body: bytes) -> Answer | None:
            if self.path.partition("?")[0].endswith("/_bulk") and faults:
                return faults.popleft()(self, body)
            return self.forward(body)

    return Faulty


def overload(handler: Forwarding, body: bytes) -> Answer:
    return Answer(429, OVERLOADED)


def lose_response(handler: Forwarding, body: bytes) -> None:
    handler.forward(body)


@pytest.mark.parametrize("id_column", ["id", None])
def test_faults_double_and_lose_no_document(
    node: Connection, index: str, id_column: str | None
) -> None:
    faults = deque[Fault]([overload, lose_response, overload, lose_response])
    with serving(faulty(node, faults), node.endpoint) as port:
        endpoint = f"http://127.0.0.1:{port}"
        sink = OpenSearchDatasink(endpoint, index, id_column=id_column, max_docs=100)
        result = write(numbers(400), sink)
    assert not faults
    assert (result.acknowledged, result.uncertain) == (400, 0)
    assert result.retried >= 400
    # The two lost responses may belong to the same documents.
    assert result.repeated in ([0] if id_column else [100, 200])
    assert count(node, index) == 400


def test_a_killed_write_task_doubles_no_document_without_ids(
    node: Connection, index: str, tmp_path: Path
) -> None:
    marker = tmp_path / "killed"

    def die_once(rows: list[RejectedRow]) -> None:
        # All other documents of the task are written by now.
        if not marker.exists():
            marker.touch()
            os._exit(1)

    mapping = {"properties": {"n": {"type": "integer"}}}
    items = [{"n": number if number else "bad"} for number in map(str, range(50))]
    items[7]["n"] = "bad"
    dataset = ray.data.from_items(items, override_num_blocks=1)
    sink = OpenSearchDatasink(node.endpoint, index, mapping=mapping, on_rejected=die_once)
    result = write(dataset, sink)
    assert marker.exists()
    assert (result.acknowledged, result.rejected, result.repeated) == (49, 1, 49)
    assert count(node, index) == 49


BAD = [{"id": number, "n": number if number != 5 else "x"} for number in range(10)]


def rows_with_a_bad_one() -> ray.data.Dataset:
    text = [{**row, "n": str(row["n"])} for row in BAD]
    return ray.data.from_items(text, override_num_blocks=2)


def test_rejected_rows_raise_after_all_others_are_written(node: Connection, index: str) -> None:
    mapping = {"properties": {"n": {"type": "integer"}}}
    sink = OpenSearchDatasink(node.endpoint, index, id_column="id", mapping=mapping)
    with pytest.raises(RejectedRowsError) as error:
        rows_with_a_bad_one().write_datasink(sink)
    assert str(error.value).startswith(
        f"{index} at {node.endpoint} rejected 1 of 10 documents (mapper_parsing 1); the others are "
        "written. First: id=5 (mapper_parsing): "
    )
    assert "\n" not in str(error.value)
    assert sink.result == error.value.result
    assert error.value.result.acknowledged == count(node, index) == 9


def test_rejected_rows_are_skipped_or_given_to_a_function(
    node: Connection, index: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    mapping = {"mappings": {"properties": {"n": {"type": "integer"}}}, "settings": {}}
    options: dict[str, Any] = {"id_column": "id", "mapping": mapping}
    sink = OpenSearchDatasink(node.endpoint, index, **options, on_rejected="skip")
    result = write(rows_with_a_bad_one(), sink)
    assert (result.rejected, result.rejected_by_kind) == (1, {"mapper_parsing": 1})
    warnings = [each.message for each in caplog.records if "rejected 1 of 10" in each.message]
    assert len(warnings) == 1

    def keep(rows: list[RejectedRow]) -> None:
        lines = [f"{row.id} {row.kind} {row.row}" for row in rows]
        (tmp_path / "rejected").write_text("\n".join(lines))

    sink = OpenSearchDatasink(node.endpoint, index, **options, on_rejected=keep)
    assert write(rows_with_a_bad_one(), sink).rejected == 1
    assert (tmp_path / "rejected").read_text() == "5 mapper_parsing {'id': 5, 'n': 'x'}"


def test_an_index_that_is_deleted_during_the_write_is_not_created_again(
    node: Connection, index: str
) -> None:
    def delete(handler: Forwarding, body: bytes) -> Answer:
        node.ask("DELETE", f"/{index}")
        return handler.forward(body)

    node.ask("PUT", f"/{index}")  # by a user: the sink adds its alias
    with serving(faulty(node, deque[Fault]([delete])), node.endpoint) as port:
        sink = OpenSearchDatasink(f"http://127.0.0.1:{port}", index, id_column="id")
        with pytest.raises(SinkError, match=r"refuses writes \(status 404\)") as error:
            numbers(10, 1).write_datasink(sink)
    assert type(error.value) is SinkError
    assert "\n" not in str(error.value)
    assert node.ask("GET", f"/{index}", ignore=(404,)) is None
    assert sink.result is None


def test_an_existing_alias_and_an_existing_mapping_are_written_as_they_are(
    node: Connection, index: str
) -> None:
    mappings = {"dynamic": "strict", "properties": {"id": {"type": "keyword"}}}
    body = {"mappings": mappings, "aliases": {index: {"is_write_index": True}}}
    node.ask("PUT", f"/{index}-one", body=body)
    result = write(ray.data.range(5), OpenSearchDatasink(node, index, id_column="id"))
    assert result.acknowledged == 5
    found = describe(node, f"{index}-one")
    assert found["aliases"] == {index: {"is_write_index": True}}
    assert found["mappings"] == mappings


def test_mistakes_are_one_line_without_a_traceback(index: str, node: Connection) -> None:
    cases: list[tuple[OpenSearchDatasink, str]] = [
        (
            OpenSearchDatasink("http://127.0.0.1:1", index),
            r"cannot be reached .*; set endpoint to the right address",
        ),
        (
            OpenSearchDatasink(node.endpoint, index, auth=BasicAuth("me", "NO_SUCH_VARIABLE")),
            r"^username=me needs a password: set the environment variable NO_SUCH_VARIABLE",
        ),
        (
            OpenSearchDatasink(node.endpoint, index, id_column="key"),
            r"^id_column=key: the dataset has only the columns id, vector$",
        ),
    ]
    for sink, message in cases:
        with pytest.raises(SetupError, match=message) as error:
            numbers(10, 1).write_datasink(sink)
        assert "\n" not in str(error.value)
        assert error.value.__suppress_context__
