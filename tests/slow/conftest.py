"""Projects on Ray, the wheel of this checkout, and empty folders to use it in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.raypipe_command import Project
from tests.slow.installed_wheel import build_wheel


@pytest.fixture
def project(project: Project) -> Project:
    """Return an empty project whose runs are on Ray."""
    project.executor = "ray"
    return project


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel of this checkout."""
    return build_wheel(tmp_path_factory.mktemp("dist"))


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """Return an empty folder in which commands are called."""
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


@pytest.fixture
def books(tmp_path: Path) -> Path:
    """Return an empty folder for books."""
    folder = tmp_path / "books"
    folder.mkdir()
    return folder
