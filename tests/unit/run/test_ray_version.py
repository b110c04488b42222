"""The pipeline needs a single version of Ray, and all pins name it."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from raypipe.core.errors import SetupError
from raypipe.run.executors import create_executor, ray_version
from raypipe.run.executors.ray_version import RAY_VERSION, check_ray_version
from raypipe.run.job import Execution, ModelLimits

ROOT = Path(__file__).parents[3]


def test_the_installed_version_is_accepted() -> None:
    check_ray_version()


def test_another_version_is_refused_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_version, "version", lambda name: "2.48.0")
    message = r"needs Ray 2\.60\.0, and the installed version is 2\.48\.0; .*executor=local"
    with pytest.raises(SetupError, match=message):
        create_executor(Execution(), ModelLimits())
    assert create_executor(Execution("local"), ModelLimits())


def test_a_missing_ray_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(ray_version, "version", missing)
    with pytest.raises(SetupError, match="the installed version is none"):
        check_ray_version()


def test_the_pins_name_the_version_of_the_pipeline() -> None:
    project: Any = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ranges = [each for each in project["dependencies"] if each.startswith("ray[")]
    assert ranges == [f"ray[data]>=2.48.0,<={RAY_VERSION}"]
    extras = project["optional-dependencies"]
    assert f"ray[default]=={RAY_VERSION}" in extras["embedded"]
    assert extras["sink"] == []
    assert f"ray=={RAY_VERSION}\n" in (ROOT / "constraints.txt").read_text()
