"""Convert Arrow columns to values that `orjson` writes as JSON.

| Arrow | JSON |
|---|---|
| null, and a missing value of any type | null |
| bool, integers, floats | the same; NaN and infinity become null |
| strings | the same |
| decimals | a string with all digits |
| binary | a string in base64 |
| date, time, timestamp | an ISO 8601 string; a timestamp with a time zone in UTC, with `Z` |
| duration | the number of its unit |
| lists of every kind | an array |
| struct, and a map with simple keys | an object |
| dictionary, run-end encoded | the form of its values |
| tensors of Ray and of Arrow | nested arrays |
| uuid, json, other extension types | a string; the value itself; the form of the storage |

Unions, intervals, maps with nested keys and Python objects have no form.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds

from raypipe.core.errors import SetupError
from raypipe.opensearch.rows.arrow_kinds import (
    is_binary,
    is_clock,
    is_extension,
    is_list,
    is_number,
    is_plain,
    is_text,
)

Values = Sequence[Any]
"""One value for each row, which `orjson` writes with `OPT_SERIALIZE_NUMPY`."""
Test = Callable[[pa.DataType], bool]
Convert = Callable[[pa.Array], Values]

FIXED_TENSORS = ("ray.data.arrow_tensor", "ray.data.arrow_tensor_v2", "arrow.fixed_shape_tensor")
"""Extension types whose values all have the shape of the type."""
RAGGED_TENSORS = ("ray.data.arrow_variable_shaped_tensor",)
"""Extension types that store each value with its shape."""
_OBJECTS = "ray.data.arrow_pickled_object"
_FAR = "<value"
"""Beginning of Arrow's text for a time outside its calendar."""


class NoJsonForm(Exception):
    """A type or a value cannot be written as JSON; the message says why."""


def column_values(column: pa.Array | pa.ChunkedArray, name: str) -> Values:
    """Return the values of a column.

    Raises:
        SetupError: A value has no JSON form; the message names the column.
    """
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(array, pa.ChunkedArray):  # of extension types, in some versions of Arrow
        array = pa.concat_arrays(array.chunks)
    try:
        return json_values(array)
    except (NoJsonForm, UnicodeDecodeError, ValueError, pa.ArrowException) as error:
        raise _refusal(name, array.type, error) from None


def check_columns(schema: pa.Schema) -> None:
    """Check that every column has a type with a JSON form.

    Raises:
        SetupError: A column has none; the message names it.
    """
    for field in schema:
        try:
            json_values(pa.nulls(0, field.type))
        except (NoJsonForm, ValueError, pa.ArrowException) as error:
            raise _refusal(field.name, field.type, error) from None


def json_values(array: pa.Array) -> Values:
    """Return the JSON form of each value of an array.

    Raises:
        NoJsonForm: The type has none, or a time is outside the calendar.
        UnicodeDecodeError: A string is not UTF-8.
    """
    kind = array.type
    for test, convert in _CONVERTERS:
        if test(kind):
            return convert(array)
    raise NoJsonForm("this type has no JSON form; convert or drop the column before the write")


def _refusal(name: str, kind: pa.DataType, error: Exception) -> SetupError:
    reason = " ".join(str(error).split())
    return SetupError(f"column {name} ({_type_name(kind)}) cannot be written as JSON: {reason}")


def _type_name(kind: pa.DataType) -> str:
    text = kind.extension_name if is_extension(kind) else str(kind)
    return text if len(text) <= 80 else f"{text[:79]}…"


def _to_python(array: pa.Array) -> Values:
    return array.to_pylist()  # type: ignore[no-any-return]


def _to_base64(array: pa.Array) -> Values:
    return [
        None if value is None else base64.b64encode(value).decode() for value in array.to_pylist()
    ]


def _to_digits(array: pa.Array) -> Values:
    # In plain notation: Arrow's own cast writes exponents.
    return [None if value is None else format(value, "f") for value in array.to_pylist()]


def _to_iso(array: pa.Array) -> Values:
    kind = array.type
    if kinds.is_timestamp(kind):
        if kind.tz is not None:
            array = array.cast(pa.timestamp(kind.unit, "UTC"))
        texts = pc.replace_substring(array.cast(pa.string()), " ", "T", max_replacements=1)
    else:
        texts = array.cast(pa.string())
    if pc.any(pc.starts_with(texts, _FAR)).as_py():
        raise NoJsonForm("a time is outside the calendar")
    return texts.to_pylist()  # type: ignore[no-any-return]


def _to_count(array: pa.Array) -> Values:
    return array.cast(pa.int64()).to_pylist()  # type: ignore[no-any-return]


def _decode_dictionary(array: pa.Array) -> Values:
    return json_values(array.dictionary_decode())


def _decode_runs(array: pa.Array) -> Values:
    return json_values(pc.run_end_decode(array))


def _to_arrays(array: pa.Array) -> Values:
    """Return the values of lists: views of a numpy array where all elements are numbers."""
    flat = array.flatten()  # without the elements of missing lists
    if is_number(flat.type) and flat.null_count == 0:
        elements: Any = flat.to_numpy(zero_copy_only=False)
    else:
        elements = json_values(flat)
    lengths = pc.list_value_length(array)
    if lengths.null_count == 0 and isinstance(elements, np.ndarray):
        ends = np.cumsum(lengths.to_numpy(zero_copy_only=False)).tolist()
        return [elements[start:end] for start, end in pairwise([0, *ends])]
    return list(_cut(elements, lengths.to_pylist()))


def _cut(elements: Any, lengths: Iterable[int | None]) -> Iterator[Any]:
    start = 0
    for length in lengths:
        if length is None:
            yield None
            continue
        yield elements[start : start + length]
        start += length


def _to_objects(array: pa.Array) -> Values:
    names = [field.name for field in array.type]
    fields = [json_values(child) for child in array.flatten()]
    # Without fields zip() would end at once.
    rows = zip(*fields, strict=True) if fields else iter([()] * len(array))
    if array.null_count == 0:
        return [dict(zip(names, row, strict=True)) for row in rows]
    return [
        dict(zip(names, row, strict=True)) if is_valid else None
        for row, is_valid in zip(rows, array.is_valid().to_pylist(), strict=True)
    ]


def _to_mapping(array: pa.Array) -> Values:
    """Return the objects of maps; of equal keys the last counts."""
    offsets = array.offsets.to_pylist()
    begin, end = (offsets[0], offsets[-1]) if offsets else (0, 0)
    keys = _to_keys(array.keys[begin:end])
    items = json_values(array.items[begin:end])
    objects: list[Any] = []
    for (start, stop), is_valid in zip(
        pairwise(offsets), array.is_valid().to_pylist(), strict=True
    ):
        cells = slice(start - begin, stop - begin)
        objects.append(dict(zip(keys[cells], items[cells], strict=True)) if is_valid else None)
    return objects


def _to_keys(keys: pa.Array) -> list[str]:
    values = json_values(keys)
    if is_text(keys.type):
        return list(values)
    tests = (kinds.is_integer, kinds.is_boolean, kinds.is_decimal, is_clock, kinds.is_dictionary)
    if not any(test(keys.type) for test in tests):
        raise NoJsonForm(f"its map has keys of the type {keys.type}; use strings as keys")
    return [value if isinstance(value, str) else orjson.dumps(value).decode() for value in values]


def _to_tensors(array: pa.Array) -> Values:
    """Return tensors of one shape as nested arrays."""
    shape = tuple(array.type.shape)
    order = getattr(array.type, "permutation", None)
    return [_reshape(row, shape, order) for row in _to_elements(array.storage)]


def _to_elements(storage: pa.Array) -> Values:
    """Return the elements of each tensor; Ray stores texts as fixed-size UTF-32."""
    if kinds.is_fixed_size_binary(storage.type.value_type):
        return [
            None if row is None else [cell.decode("utf-32-le").rstrip("\0") for cell in row]
            for row in storage.to_pylist()
        ]
    return json_values(storage)


def _to_ragged_tensors(array: pa.Array) -> Values:
    """Return tensors of different shapes as nested arrays."""
    names = [field.name for field in array.type.storage_type]
    children = array.storage.flatten()
    data = _to_elements(children[names.index("data")])
    shapes = json_values(children[names.index("shape")])
    return [
        _reshape(row, tuple(int(size) for size in shape), None) if is_valid else None
        for row, shape, is_valid in zip(
            data, shapes, array.storage.is_valid().to_pylist(), strict=True
        )
    ]


def _reshape(row: Any, shape: tuple[int, ...], order: Sequence[int] | None) -> Any:
    if row is None or (len(shape) == 1 and order is None):
        return row
    if len(row) != prod(shape):
        raise NoJsonForm(f"a tensor has {len(row)} values, and its shape is {shape}")
    cells = row if isinstance(row, np.ndarray) else np.fromiter(row, dtype=object, count=len(row))
    cells = cells.reshape(shape)
    if order is not None:
        cells = np.ascontiguousarray(cells.transpose(order))
    return cells.tolist() if cells.dtype == object else cells


def _to_extension(array: pa.Array) -> Values:
    """Return the values of an extension type by its name."""
    name = array.type.extension_name
    if name in FIXED_TENSORS:
        return _to_tensors(array)
    if name in RAGGED_TENSORS:
        return _to_ragged_tensors(array)
    if name == _OBJECTS:
        raise NoJsonForm(
            "it holds Python objects; make them strings, numbers, lists or dictionaries with "
            "Dataset.map before the write"
        )
    if name in ("arrow.uuid", "arrow.bool8"):
        values = array.to_pylist()
        return values if name == "arrow.bool8" else [v if v is None else str(v) for v in values]
    if name == "arrow.json":
        texts = array.storage.to_pylist()
        return [None if text is None else orjson.loads(text) for text in texts]
    return json_values(array.storage)


_CONVERTERS: tuple[tuple[Test, Convert], ...] = (
    (is_extension, _to_extension),
    (is_plain, _to_python),
    (is_list, _to_arrays),
    (kinds.is_map, _to_mapping),
    (kinds.is_struct, _to_objects),
    (is_clock, _to_iso),
    (kinds.is_decimal, _to_digits),
    (is_binary, _to_base64),
    (kinds.is_duration, _to_count),
    (kinds.is_dictionary, _decode_dictionary),
    (kinds.is_run_end_encoded, _decode_runs),
)
"""Test of a type, and conversion of an array of that type; the first that fits counts."""
