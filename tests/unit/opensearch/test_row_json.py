"""Every Arrow type has a JSON form, or a message that names its column."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest
from ray.data.extensions import ArrowTensorArray, ArrowVariableShapedTensorArray

from raypipe.core.errors import SetupError
from raypipe.opensearch.rows.documents import RowReader, RowSchema
from raypipe.opensearch.rows.json_values import check_columns, column_values

UTC = dt.UTC
UUID = b"0123456789abcdef"
UUID_TEXT = "30313233-3435-3637-3839-616263646566"
SHAPES = (np.zeros((2, 2)), np.ones((1, 3)), np.ones((1, 0)))
RAGGED = np.empty(3, dtype=object)
RAGGED[:] = SHAPES


def array(values: list[Any], kind: pa.DataType) -> pa.Array:
    return pa.array(values, kind)


CASES: dict[str, tuple[pa.Array, list[Any]]] = {
    "null": (pa.nulls(2), [None, None]),
    "bool": (array([True, None, False], pa.bool_()), [True, None, False]),
    "int8": (array([-128, None], pa.int8()), [-128, None]),
    "uint64": (array([2**64 - 1, 0], pa.uint64()), [2**64 - 1, 0]),
    "float16": (pa.array(np.array([1.5, np.nan], "f2")), [1.5, None]),
    "float64": (array([0.1, float("inf")], pa.float64()), [0.1, None]),
    "string": (array(["é", None, ""], pa.string()), ["é", None, ""]),
    "large_string": (array(["a"], pa.large_string()), ["a"]),
    "string_view": (array(["a", None], pa.string_view()), ["a", None]),
    "decimal128": (
        pa.array([Decimal("1.50"), None, Decimal("-12345678901234567890.25")]),
        ["1.50", None, "-12345678901234567890.25"],
    ),
    "decimal256": (array([Decimal("1e20")], pa.decimal256(50, 2)), [f"1{'0' * 20}.00"]),
    "binary": (array([b"\xff", None], pa.binary()), ["/w==", None]),
    "fixed_size_binary": (array([b"ab"], pa.binary(2)), ["YWI="]),
    "binary_view": (array([b"a"], pa.binary_view()), ["YQ=="]),
    "date32": (array([dt.date(2020, 2, 29), None], pa.date32()), ["2020-02-29", None]),
    "date64": (array([dt.date(2020, 2, 29)], pa.date64()), ["2020-02-29"]),
    "time32": (array([dt.time(1, 2, 3)], pa.time32("s")), ["01:02:03"]),
    "time64": (array([1], pa.time64("ns")), ["00:00:00.000000001"]),
    "timestamp": (
        array([dt.datetime(2020, 1, 1, 12), None], pa.timestamp("ms")),
        ["2020-01-01T12:00:00.000", None],
    ),
    "timestamp with zone": (
        array([dt.datetime(2020, 1, 1, 12, tzinfo=UTC)], pa.timestamp("s", "+02:00")),
        ["2020-01-01T12:00:00Z"],
    ),
    "duration": (array([dt.timedelta(seconds=1)], pa.duration("ms")), [1000]),
    "list": (array([[1, None], None, []], pa.list_(pa.int32())), [[1, None], None, []]),
    "list of floats": (
        array([[0.1, 2], None, [], [3]], pa.list_(pa.float32())),
        [[0.1, 2.0], None, [], [3.0]],
    ),
    "large_list": (array([["a"]], pa.large_list(pa.string())), [["a"]]),
    "fixed_size_list": (
        array([[1, 2], None, [3, 4]], pa.list_(pa.float32(), 2)),
        [[1.0, 2.0], None, [3.0, 4.0]],
    ),
    "list_view": (array([[1], None], pa.list_view(pa.int8())), [[1], None]),
    "nested lists": (
        array([[[1], [2, 3]], None, [None, []]], pa.list_(pa.list_(pa.int64()))),
        [[[1], [2, 3]], None, [None, []]],
    ),
    "struct": (
        pa.array([{"a": 1, "on": dt.date(2020, 1, 2)}, None, {"a": None, "on": None}]),
        [{"a": 1, "on": "2020-01-02"}, None, {"a": None, "on": None}],
    ),
    "empty struct": (array([{}, None], pa.struct([])), [{}, None]),
    "list of structs": (pa.array([[{"a": b"x"}], None, [None]]), [[{"a": "eA=="}], None, [None]]),
    "map": (
        array([[("a", 1), ("b", None)], None, []], pa.map_(pa.string(), pa.int32())),
        [{"a": 1, "b": None}, None, {}],
    ),
    "map with numbers as keys": (
        array([[(1, [dt.date(2020, 1, 1)])]], pa.map_(pa.int8(), pa.list_(pa.date32()))),
        [{"1": ["2020-01-01"]}],
    ),
    "dictionary": (pa.array(["a", None, "a"]).dictionary_encode(), ["a", None, "a"]),
    "run_end_encoded": (
        pa.RunEndEncodedArray.from_arrays([2, 3], ["a", None]),
        ["a", "a", None],
    ),
    "uuid": (array([UUID, None], pa.uuid()), [UUID_TEXT, None]),
    "json": (array(['{"a":1}', None], pa.json_()), [{"a": 1}, None]),
    "fixed_shape_tensor": (
        pa.FixedShapeTensorArray.from_numpy_ndarray(np.arange(8, dtype="f4").reshape(2, 2, 2)),
        [[[0.0, 1.0], [2.0, 3.0]], [[4.0, 5.0], [6.0, 7.0]]],
    ),
    "Ray's tensor": (
        ArrowTensorArray.from_numpy(np.arange(4, dtype="f4").reshape(2, 2)),
        [[0.0, 1.0], [2.0, 3.0]],
    ),
    "Ray's tensor of booleans": (
        ArrowTensorArray.from_numpy(np.array([[True, False], [False, True]])),
        [[True, False], [False, True]],
    ),
    "Ray's tensor of texts": (
        ArrowTensorArray.from_numpy(np.array([["a", "bé"], ["c", ""]])),
        [["a", "bé"], ["c", ""]],
    ),
    "Ray's tensor of other shapes": (
        ArrowVariableShapedTensorArray.from_numpy(RAGGED),
        [[[0.0, 0.0], [0.0, 0.0]], [[1.0, 1.0, 1.0]], [[]]],
    ),
}
WITHOUT_FORM = {
    "interval": pa.month_day_nano_interval(),
    "union": pa.dense_union([pa.field("a", pa.int8())]),
    "map with lists as keys": pa.map_(pa.list_(pa.int8()), pa.int8()),
    "deep inside": pa.list_(pa.struct([("at", pa.month_day_nano_interval())])),
}


def to_json(column: pa.Array | pa.ChunkedArray) -> Any:
    values = list(column_values(column, "column"))
    return orjson.loads(orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY))


@pytest.mark.parametrize(("column", "wanted"), CASES.values(), ids=CASES)
def test_a_type_has_a_json_form(column: pa.Array, wanted: list[Any]) -> None:
    assert to_json(column) == wanted
    # A block is often a part of a larger array, or several arrays.
    assert to_json(column[1:]) == wanted[1:]
    assert to_json(column[:0]) == []
    assert to_json(pa.chunked_array([column, column])) == wanted + wanted
    check_columns(pa.schema([("column", column.type)]))


@pytest.mark.parametrize("kind", WITHOUT_FORM.values(), ids=WITHOUT_FORM)
def test_a_type_without_a_form_is_refused_by_the_name_of_its_column(kind: pa.DataType) -> None:
    schema = pa.schema([("fine", pa.int8()), ("odd", kind)])
    with pytest.raises(SetupError, match=r"^column odd \(.*\) cannot be written as JSON: .+") as e:
        check_columns(schema)
    assert "\n" not in str(e.value)


def test_a_value_without_a_form_is_refused_by_the_name_of_its_column() -> None:
    offsets = pa.py_buffer(np.array([0, 1], "i4"))
    no_utf8 = pa.Array.from_buffers(pa.string(), 1, [None, offsets, pa.py_buffer(b"\xff")])
    with pytest.raises(SetupError, match=r"^column text \(string\) cannot be written"):
        column_values(no_utf8, "text")
    with pytest.raises(SetupError, match=r"^column at .* a time is outside the calendar"):
        column_values(array([2**62], pa.timestamp("ms")), "at")


def reader(table: pa.Table, prefix: str = "w-0-", **columns: str) -> RowReader:
    return RowReader([table.slice(0, 2), table.slice(2)], RowSchema(**columns), prefix)


def test_a_row_is_a_document_with_the_id_of_its_column() -> None:
    table = pa.table({"id": [7, 8, None], "text": ["a", None, "c"]})
    documents = list(reader(table, id_column="id"))
    assert [(each.key, each.has_id) for each in documents[:2]] == [("7", True), ("8", True)]
    assert not documents[2].has_id
    assert documents[1].body == {"id": 8, "text": None}


def test_a_column_named_id_field_is_no_field() -> None:
    [document] = reader(pa.table({"_id": ["a"], "n": [1]}), id_column="_id")
    assert (document.key, document.body) == ("a", {"n": 1})


def test_generated_ids_are_the_same_for_each_attempt() -> None:
    table = pa.table({"n": [1, 2, 3]})
    assert [each.key for each in reader(table)] == ["w-0-0", "w-0-1", "w-0-2"]


def test_of_equal_ids_the_last_row_counts() -> None:
    rows = reader(pa.table({"id": ["a", "b", "a"], "n": [1, 2, 3]}), id_column="id")
    assert (rows.rows, rows.documents) == (3, 2)
    assert [(each.key, each.body["n"]) for each in rows] == [("b", 2), ("a", 3)]
    assert rows.row_of("a").to_pylist() == [{"id": "a", "n": 3}]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"id_column": "no"}, r"^id_column=no: the dataset has only the columns id, v, t$"),
        ({"id_column": "v"}, r"^id_column=v has the type list.*make a column of strings$"),
        ({"vector_column": "id"}, r"^vector_column=id has the type int64: vectors are lists"),
    ],
)
def test_a_column_that_does_not_fit_is_named(columns: dict[str, str], message: str) -> None:
    table = pa.table({"id": [1], "v": [[1.0]], "t": ["x"]})
    with pytest.raises(SetupError, match=message):
        RowSchema(**columns).check(table.schema)


VECTORS = {
    "list": pa.array([None, [1.0, 2.0]]),
    "fixed-size list": array([None, [1, 2]], pa.list_(pa.float32(), 2)),
    "Ray's tensor": ArrowTensorArray.from_numpy(np.ones((2, 2), "f4")),
    "whole numbers": array([None, [1, 2]], pa.list_(pa.int8())),
}


@pytest.mark.parametrize("column", VECTORS.values(), ids=VECTORS)
def test_the_length_of_vectors_is_found(column: pa.Array) -> None:
    schema = RowSchema(vector_column="v")
    table = pa.table({"v": column})
    schema.check(table.schema)
    assert schema.find_dimension([table.slice(0, 0), table]) == 2


def test_without_a_vector_the_length_is_unknown() -> None:
    schema = RowSchema(vector_column="v")
    for kind in (pa.list_(pa.float32()), pa.list_(pa.float32(), 2), pa.list_(pa.null())):
        table = pa.table({"v": array([None], kind)})
        schema.check(table.schema)
        assert schema.find_dimension([table]) is None
