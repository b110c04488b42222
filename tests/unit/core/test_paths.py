"""`~` in the paths that people type."""

from __future__ import annotations

from pathlib import Path

import pytest

from raypipe.core.errors import OptionError
from raypipe.core.options import EmbeddedOptions, RayOptions, StateOptions
from raypipe.core.paths import expand_home
from raypipe.exporter.documents import resolve_target
from raypipe.sources.local import LocalBookSource

NOBODY = "~nosuchuser/books"


def test_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert expand_home("~/books", "path") == Path("/home/me/books")
    assert LocalBookSource("~/books").path == "/home/me/books"
    assert RayOptions(temp_dir="~/ray").temp_dir == "/home/me/ray"


def test_nobody_has_no_home_folder() -> None:
    expected = f"={NOBODY}: there is no user nosuchuser; give the whole path"
    for option, make in (
        ("uri", StateOptions),
        ("data", EmbeddedOptions),
        ("path", LocalBookSource),
        ("temp_dir", lambda path: RayOptions(temp_dir=path)),
    ):
        with pytest.raises(ValueError, match=f"{option}{expected}"):
            make(NOBODY)
    with pytest.raises(OptionError, match=f"to{expected}"):
        resolve_target(NOBODY, None)


@pytest.mark.parametrize("uri", ["", "ftp://host/state", "s3://", "file:///state"])
def test_a_state_is_a_folder_or_on_s3(uri: str) -> None:
    with pytest.raises(ValueError, match=r"set (it to )?a folder or s3://bucket/prefix"):
        StateOptions(uri)
