"""Tell the types of Arrow apart."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.types as kinds


def is_extension(kind: pa.DataType) -> bool:
    """Return whether a type belongs to an extension."""
    return isinstance(kind, pa.BaseExtensionType)


def is_number(kind: pa.DataType) -> bool:
    """Return whether a type is an integer or a float."""
    return bool(kinds.is_integer(kind) or kinds.is_floating(kind))


def is_text(kind: pa.DataType) -> bool:
    """Return whether a type is a string."""
    return bool(kinds.is_string(kind) or kinds.is_large_string(kind) or is_view(kind, "string"))


def is_binary(kind: pa.DataType) -> bool:
    """Return whether a type holds bytes."""
    tests = (kinds.is_binary, kinds.is_large_binary, kinds.is_fixed_size_binary)
    return any(test(kind) for test in tests) or is_view(kind, "binary")


def is_view(kind: pa.DataType, of: str) -> bool:
    """Return whether a type is a view of strings or bytes, by the name of its elements."""
    return str(kind) == f"{of}_view"


def is_plain(kind: pa.DataType) -> bool:
    """Return whether a type needs no conversion."""
    return bool(kinds.is_null(kind) or kinds.is_boolean(kind) or is_number(kind) or is_text(kind))


def is_list(kind: pa.DataType) -> bool:
    """Return whether a type is a list."""
    tests = (
        kinds.is_list,
        kinds.is_large_list,
        kinds.is_fixed_size_list,
        kinds.is_list_view,
        kinds.is_large_list_view,
    )
    return any(test(kind) for test in tests)


def is_clock(kind: pa.DataType) -> bool:
    """Return whether a type is a date, a time or a timestamp."""
    return bool(kinds.is_date(kind) or kinds.is_time(kind) or kinds.is_timestamp(kind))
