"""The server of an index is checked once in a run, whichever step comes first."""

from __future__ import annotations

import pytest

from raypipe.opensearch.connection.client import Connection
from raypipe.opensearch.index import IndexAlias, IndexConfig
from raypipe.run.target import IndexTarget


def test_a_server_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []
    monkeypatch.setattr(
        IndexAlias, "check_server", lambda alias: checked.append(alias.config.index)
    )
    target = IndexTarget(IndexConfig(Connection("http://127.0.0.1:1"), "books"))
    target.check_server()
    target.check_server()
    assert checked == ["books"]
    IndexTarget(None).check_server()
    assert checked == ["books"], "a run without an index has no server"
