"""Check what clients of embedding models send and receive: dimensions, texts and vectors."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from raypipe.models.protocol import ModelError, TokenUsage, Vectors


def check_dimension(dimension: int, choices: Sequence[int]) -> None:
    """Check that the model can return vectors of this length.

    Raises:
        ValueError: The dimension is not among the choices.
    """
    if dimension not in choices:
        supported = " or ".join(map(str, choices))
        raise ValueError(f"dimension={dimension}: this model returns vectors of length {supported}")


def single_text(texts: Sequence[str]) -> str:
    """Return the text of a call that takes exactly one.

    Raises:
        ValueError: There is not exactly one text.
    """
    (text,) = texts
    return text


def parse_vectors(rows: Any, shape: tuple[int, int], usage: TokenUsage) -> Vectors:
    """Return the vectors of an answer.

    Args:
        rows: The part of the answer that should be a list of lists of numbers.
        shape: The expected number of vectors and their length.
        usage: The tokens of the answer.

    Raises:
        ModelError: The number or the length of the vectors differs, or an element is not a finite
            number.
    """
    count, dimension = shape
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise ModelError.bad_response("the answer contains no vectors", usage)
    if len(rows) != count:
        message = f"the answer contains {len(rows)} vectors for {count} texts"
        raise ModelError.bad_response(message, usage)
    if wrong_lengths := [len(row) for row in rows if len(row) != dimension]:
        length = wrong_lengths[0]
        raise ModelError.bad_response(
            f"the model returns vectors of length {length}; set dimension={length}", usage
        )
    if not all(map(_is_finite_vector, rows)):
        raise ModelError.bad_response(
            "the answer contains a vector whose elements are not all finite numbers", usage
        )
    return Vectors(rows, usage)


def decode_base64(row: Any) -> Any:
    """Return a vector that some servers send as the base64 of 32-bit floats; others unchanged."""
    if not isinstance(row, str):
        return row
    try:
        return np.frombuffer(base64.b64decode(row, validate=True), "<f4").tolist()
    except ValueError:
        return None


def _is_finite_vector(row: list[Any]) -> bool:
    try:
        return set(map(type, row)) <= {int, float} and all(map(math.isfinite, row))
    except OverflowError:  # an integer that no float can hold
        return False
