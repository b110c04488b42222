"""The services that tests share, each started once in a session, and the markers of the folders.

Fixtures import what they need when a test asks for them: the unit tests need none of it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.raypipe_command import Project
    from tests.integration.s3_server import CountingS3Server

# A settings file of the developer must not reach the tests or the commands that they start.
os.environ.pop("RAYPIPE_SETTINGS", None)

FOLDER = Path(__file__).parent
MARKED_FOLDERS = ("integration", "slow")
"""Folders of `tests/` whose tests get a marker of the same name."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their folder."""
    for item in items:
        for name in MARKED_FOLDERS:
            if item.path.is_relative_to(FOLDER / name):
                item.add_marker(name)


@pytest.fixture(scope="session")
def opensearch_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the URL of a real node: `RAYPIPE_TEST_OPENSEARCH`, or a new node of this session.

    The processes of one pytest command share the node; it stops with the last of them.
    """
    from raypipe.embedded.services import Services

    if url := os.environ.get("RAYPIPE_TEST_OPENSEARCH"):
        yield url
        return
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with Services(folder / "opensearch") as services:
        yield services.start_opensearch()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[CountingS3Server]:
    """Return the S3 server of this session. Tests use `s3`, which is empty for each test."""
    from tests.integration.s3_server import serve_s3

    with serve_s3() as server:
        yield server


@pytest.fixture
def s3(s3_server: CountingS3Server) -> Iterator[CountingS3Server]:
    """Return the S3 server; afterwards delete its buckets, counters and faults."""
    yield s3_server
    s3_server.reset()


@pytest.fixture(scope="session")
def shared_ray() -> Iterator[None]:
    """Start Ray once for all runs in this process: it takes most of a small run's time."""
    from raypipe.core.options import RayOptions
    from raypipe.run.executors.ray_session import ray_session

    # Workers keep the environment of this moment; a line of the guides with a user name needs it.
    os.environ.setdefault("OPENSEARCH_PASSWORD", "test")
    with contextlib.ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            # Lines of the guides with models need these; the driver's environment stays unchanged.
            for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "OPENAI_API_KEY"):
                patch.setenv(name, "simulated")
            # No proxy is there: the workers reach the servers of the tests directly.
            for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
                patch.setenv(name, "http://127.0.0.1:9")
                patch.setenv(name.lower(), "http://127.0.0.1:9")
            stack.enter_context(ray_session(RayOptions(dashboard=False)))
        yield


@pytest.fixture
def project(tmp_path: Path, opensearch_url: str) -> Iterator[Project]:
    """Yield an empty project; afterwards delete its index and kill its processes."""
    from tests.integration.raypipe_command import Project

    project = Project(tmp_path, opensearch_url)
    yield project
    project.clean_up()
