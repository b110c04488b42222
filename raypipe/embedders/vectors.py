"""What the clients of embedding models have in common: one text, a known dimension, rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from raypipe.models.protocol import ModelError, TokenUsage, Vectors


def check_dimension(dimension: int, choices: Sequence[int]) -> None:
    """Refuse a dimension that the model does not make.

    Raises:
        ValueError: It is none of the choices.
    """
    if dimension not in choices:
        known = " or ".join(map(str, choices))
        raise ValueError(f"dimension={dimension}: this model makes vectors of {known}")


def only(texts: Sequence[str]) -> str:
    """Return the one text of a call that takes no more."""
    (text,) = texts
    return text


def vectors_of(rows: Any, shape: tuple[int, int], usage: TokenUsage) -> Vectors:
    """Return the vectors of an answer.

    Args:
        rows: What should be lists of numbers.
        shape: How many there must be, and how long.
        usage: The answer's.

    Raises:
        ModelError: They are not as many, not as long, or no finite numbers.
    """
    count, dimension = shape
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise ModelError.bad_response("the answer holds no vectors")
    if len(rows) != count:
        raise ModelError.bad_response(f"the answer holds {len(rows)} vectors for {count} texts")
    if wrong := [len(row) for row in rows if len(row) != dimension]:
        raise ModelError.bad_response(
            f"the model makes vectors of {wrong[0]} numbers; give dimension={wrong[0]}"
        )
    try:
        finite = all(math.isfinite(one) for row in rows for one in row)
    except TypeError:
        finite = False
    if not finite:
        raise ModelError.bad_response(
            "the answer holds a vector of other things than finite numbers"
        )
    return Vectors(rows, usage)
