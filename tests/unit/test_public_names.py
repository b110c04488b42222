"""The public names of the package: a change of this list is a change of the public API."""

from __future__ import annotations

import raypipe


def test_the_package_exports_exactly_these_names() -> None:
    assert raypipe.__all__ == ["__version__"]


def test_every_exported_name_exists() -> None:
    assert all(hasattr(raypipe, name) for name in raypipe.__all__)
