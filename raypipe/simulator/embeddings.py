"""Embed texts as vectors of hashed words: texts that share words are near each other."""

from __future__ import annotations

import re
import zlib
from collections import Counter

import numpy as np
from numpy.typing import NDArray

_WORD = re.compile(r"[^\W\d_]{3,}")


def embed(text: str, dimension: int) -> NDArray[np.float32]:
    """Return an L2-normalized vector of shape (dimension,), the same for documents and queries.

    Each word is hashed to a position and a sign; longer words, which are rarer, weigh more.
    """
    vector = np.zeros(dimension, dtype=np.float32)
    for word, count in Counter(_WORD.findall(text.lower())).items():
        hashed = zlib.crc32(word.encode())
        weight = (1 + np.log(count)) * min(len(word), 10) ** 2
        vector[hashed % dimension] += weight if hashed >> 31 else -weight
    norm = float(np.linalg.norm(vector))
    if norm == 0:
        vector[zlib.crc32(text.encode("utf-8", "replace")) % dimension] = norm = 1.0
    return np.asarray(vector / norm, dtype=np.float32)
