"""A page with an empty state, and an OpenSearch stub for the index entries of books."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.opensearch.stub import PHYSICAL, Reply, Stub
from tests.unit.web.page_here import Page


@pytest.fixture
def stub() -> Iterator[Stub]:
    server = Stub()
    server.paths["/books"] = Reply(body={PHYSICAL: {"aliases": {"books": {}}, "mappings": {}}})
    yield server
    server.close()


@pytest.fixture
def page(tmp_path: Path, stub: Stub) -> Page:
    return Page(tmp_path, stub.url)
