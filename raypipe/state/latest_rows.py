"""Select the last row of each key in a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raypipe.state.text_positions import digest


def latest_rows(
    table: pa.Table, keys: Sequence[str], order: Sequence[str] = ("run_seq",)
) -> pa.Table:
    """Return the last row of each key, in the order of the table.

    Args:
        table: The rows. Of two rows with equal `order`, the later position counts.
        keys: Columns that together identify the subject of a row.
        order: Numeric columns; the first column decides first.
    """
    is_repeated = _find_repeated(table, keys)
    if not is_repeated.any():
        return table
    selected = ~is_repeated
    positions = np.flatnonzero(is_repeated)
    columns = list(dict.fromkeys([*keys, *order]))
    repeated = table.select(columns).filter(pa.array(is_repeated))
    selected[positions[_find_latest(repeated, keys, order)]] = True
    return table if selected.all() else table.filter(pa.array(selected))


def _find_repeated(table: pa.Table, keys: Sequence[str]) -> NDArray[np.bool_]:
    """Return a mask of the rows whose key may occur more than once; it is true for few others."""
    for name in keys:
        digests = digest(table[name]) if pa.types.is_string(table[name].type) else None
        if digests is not None:
            _, codes, counts = np.unique(digests, return_inverse=True, return_counts=True)
            is_repeated: NDArray[np.bool_] = counts[codes] > 1
            return is_repeated
    return np.ones(len(table), dtype=bool)


def _find_latest(table: pa.Table, keys: Sequence[str], order: Sequence[str]) -> NDArray[np.int64]:
    """Return the position of the last row of each key."""
    codes, upper_bound = _encode_keys(table, keys)
    by_order = np.lexsort([table[name].to_numpy() for name in reversed(order)])
    last = np.full(upper_bound, -1, dtype=np.int64)
    # If an index occurs repeatedly, the last assignment stays (NumPy: "Assigning values to
    # indexed arrays").
    last[codes[by_order]] = by_order
    return last[last >= 0]


def _encode_keys(table: pa.Table, keys: Sequence[str]) -> tuple[np.ndarray[Any, Any], int]:
    """Return an integer for each row, equal for equal keys, and their upper bound."""
    codes = np.zeros(len(table), dtype=np.int64)
    upper_bound = 1
    for name in keys:
        encoded = table[name].dictionary_encode(null_encoding="encode")
        column = np.concatenate([chunk.indices.to_numpy() for chunk in encoded.chunks])
        size = len(encoded.chunk(0).dictionary)
        codes, upper_bound = codes * size + column, upper_bound * size
        if upper_bound > 4 * len(table):
            unique, codes = np.unique(codes, return_inverse=True)
            upper_bound = len(unique)
    return codes, upper_bound
