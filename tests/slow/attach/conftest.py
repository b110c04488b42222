"""A project whose commands join a cluster that was started with `ray start`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.raypipe_command import Project
from tests.slow.ray_head import AWS


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """Yield a project without an index; its commands get no RAY_* variable of this process."""
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        monkeypatch.delenv(name)
    for name, value in AWS.items():
        monkeypatch.setenv(name, value)
    project = Project(tmp_path, "no index", executor="ray")
    yield project
    project.kill_processes()
