"""Import the packages of formats that are extras of raypipe."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from raypipe.core.errors import BookError


def import_reader(module: str, extra: str, name: str) -> Any:
    """Return the module that reads a format.

    Args:
        module: The module.
        extra: The extra of raypipe that installs it.
        name: Key of the book, for the message.

    Raises:
        BookError: `no_reader`: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError:
        raise BookError(
            "no_reader",
            f"{name}: the package {module} is not installed; run pip install 'raypipe[{extra}]'",
            retryable=True,
        ) from None
