from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from raypipe.embedded.services import Services


@pytest.fixture(scope="session")
def opensearch_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the URL of a real node: `RAYPIPE_TEST_OPENSEARCH`, or a new node of this session."""
    if url := os.environ.get("RAYPIPE_TEST_OPENSEARCH"):
        yield url
        return
    with Services(tmp_path_factory.mktemp("opensearch")) as services:
        yield services.start_opensearch()
