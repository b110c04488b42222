from __future__ import annotations

from pathlib import Path

import pytest

from raypipe.opensearch.connection.client import Connection
from raypipe.sources.local import LocalBookSource


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "a.txt").write_text("text")
    source = LocalBookSource("~/books")
    source.check()
    assert [book.key for book in source.list_books()] == ["a.txt"]
    assert source.identity == LocalBookSource(str(tmp_path / "books")).identity
    assert Connection("http://host", ca_certs="~/ca.pem").ca_certs == f"{tmp_path}/ca.pem"


def test_an_unknown_user_is_refused() -> None:
    with pytest.raises(ValueError, match="path=~nosuchuser/x: there is no user nosuchuser"):
        LocalBookSource("~nosuchuser/x")
