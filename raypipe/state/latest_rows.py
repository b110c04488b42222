"""Select the last row of each key in a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa


def latest_rows(
    table: pa.Table, keys: Sequence[str], order: Sequence[str] = ("run_seq",)
) -> pa.Table:
    """Return the last row of each key, in the order of the table.

    Args:
        table: The rows. Of two rows with equal `order`, the later position counts.
        keys: Columns that together identify the subject of a row.
        order: Numeric columns; the first column decides first.
    """
    if not len(table):
        return table
    codes, upper_bound = _encode_keys(table, keys)
    by_order = np.lexsort([table[name].to_numpy() for name in reversed(order)])
    last = np.full(upper_bound, -1, dtype=np.int64)
    # If an index occurs repeatedly, the last assignment stays (NumPy: "Assigning values to
    # indexed arrays").
    last[codes[by_order]] = by_order
    selected = last[last >= 0]
    if len(selected) == len(table):
        return table
    mask = np.zeros(len(table), dtype=bool)
    mask[selected] = True
    return table.filter(pa.array(mask))


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
