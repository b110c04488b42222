"""Read dataclasses from JSON that may be damaged, or edited by hand."""

from __future__ import annotations

import json
import math
import types
from collections.abc import Mapping
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

_T = TypeVar("_T")


def read_object(data: bytes | str) -> dict[str, Any]:
    """Return a JSON object.

    Raises:
        ValueError: The data is not JSON in UTF-8, is nested too deeply, or is no object.
    """
    try:
        value = json.loads(data)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError(f"it holds a {type(value).__name__} and no object")
    return value


def read_record(kind: type[_T], data: bytes | str) -> _T:
    """Return a dataclass of simple fields from a JSON object.

    Args:
        kind: The dataclass. Its field types are numbers, texts, booleans, mappings and unions.
        data: The JSON.

    Raises:
        ValueError: The data is no such object: damaged, or a field is unknown, missing or of
            another type.
    """
    return make_record(kind, read_object(data))


def make_record(kind: type[_T], values: Mapping[str, Any]) -> _T:
    """Return a dataclass of simple fields from the values of a JSON object; see `read_record`."""
    hints = get_type_hints(kind)
    for name, value in values.items():
        if name in hints and not _fits(value, hints[name]):
            raise ValueError(f"{name} is {type(value).__name__}")
    try:
        return kind(**values)
    except TypeError as error:
        raise ValueError(str(error)) from None


def _fits(value: Any, hint: Any) -> bool:
    origin, members = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_fits(value, member) for member in members)
    wanted = origin or hint
    if wanted is Any:
        return True
    if isinstance(value, bool):
        return wanted is bool
    if wanted is float:
        return isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
    if not isinstance(value, wanted):
        return False
    is_mapping = isinstance(value, Mapping) and len(members) == 2
    return not is_mapping or all(_fits(item, members[1]) for item in value.values())
