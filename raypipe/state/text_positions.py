"""Find equal texts in Arrow columns of a million ids, with 16 bytes of memory for each.

Arrow's own functions copy all texts into a hash table. The ids of books are SHA-256 in 64 hex
digits, so their first 64 bits tell them apart; the texts are compared where these are equal.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_LENGTH = 64
_DIGITS = 16  # hex digits of 64 bits; as text, two words of 64 bits
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no bit of the first word is lost
_CHUNK = 50_000  # texts that are compared at the same time


def digest(column: pa.ChunkedArray) -> NDArray[np.uint64] | None:
    """Return 64 bits of each text, equal for equal texts; None if the texts are not like ids."""
    digests = [np.empty(0, np.uint64)]
    for chunk in column.chunks:
        of_chunk = _digest_chunk(chunk)
        if of_chunk is None:
            return None
        digests.append(of_chunk)
    return np.concatenate(digests)


def index_in(column: pa.ChunkedArray, values: pa.ChunkedArray) -> NDArray[np.int64]:
    """Return the first position of each text among the values, -1 for none."""
    wanted, known = digest(column), digest(values)
    if wanted is None or known is None or not len(known):
        return _index_in(column, values)
    order = np.argsort(known, kind="stable")  # the first of equal values stays the first
    known = known[order]
    found = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    positions = np.where(known[found] == wanted, order[found], -1)
    for start in range(0, len(positions), _CHUNK):
        part = positions[start : start + _CHUNK]
        texts = values.take(pa.array(part, mask=part < 0))
        is_equal = pc.equal(texts, column.slice(start, _CHUNK))
        if not pc.all(is_equal).as_py():
            return _index_in(column, values)  # different texts with the same bits
    return positions


def _index_in(column: pa.ChunkedArray, values: pa.ChunkedArray) -> NDArray[np.int64]:
    found: Any = pc.fill_null(pc.index_in(column, value_set=values), -1)
    positions: NDArray[np.int64] = found.to_numpy(zero_copy_only=False).astype(np.int64)
    return positions


def _digest_chunk(chunk: pa.StringArray) -> NDArray[np.uint64] | None:
    if chunk.null_count or not pa.types.is_string(chunk.type):
        return None
    if not len(chunk):
        return np.empty(0, np.uint64)
    _, offsets_buffer, data_buffer = chunk.buffers()
    first, last = chunk.offset, chunk.offset + len(chunk) + 1
    offsets = np.frombuffer(offsets_buffer, np.int32)[first:last]
    if not (np.diff(offsets) == _LENGTH).all():
        return None
    texts = np.frombuffer(data_buffer, np.uint8)[offsets[0] : offsets[-1]]
    words = np.ascontiguousarray(texts.reshape(-1, _LENGTH)[:, :_DIGITS]).view(np.uint64)
    digests: NDArray[np.uint64] = words[:, 0] * _FACTOR + words[:, 1]
    return digests
