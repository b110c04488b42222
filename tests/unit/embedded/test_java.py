"""find_java chooses a Java that runs and is new enough."""

from __future__ import annotations

from pathlib import Path

import pytest

from raypipe.embedded import java


def create_fake_java(folder: Path, version: str, *, status: int = 0) -> Path:
    path = folder / "java"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\nexit {status}\n")
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def _no_installed_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr(java, "packaged_java", lambda: Path("packaged"))


@pytest.mark.parametrize(
    ("version", "expected"),
    [("21.0.1", 21), ("25", 25), ("17.0.9", 17), ("1.8.0_402", 8), ("24-ea", 24)],
)
def test_java_version_is_parsed(tmp_path: Path, version: str, expected: int) -> None:
    assert java.read_java_version(create_fake_java(tmp_path, version)) == expected


def test_a_java_that_does_not_run_has_no_version(tmp_path: Path) -> None:
    assert java.read_java_version(tmp_path / "none") is None
    assert java.read_java_version(create_fake_java(tmp_path, "21", status=1)) is None


def test_java_home_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    home_java = create_fake_java(tmp_path / "home" / "bin", "21.0.2")
    create_fake_java(tmp_path / "path", "25")
    assert java.find_java() == home_java


def test_path_is_used_when_java_home_is_too_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    create_fake_java(tmp_path / "home" / "bin", "17.0.2")
    path_java = create_fake_java(tmp_path / "path", "25")
    assert java.find_java() == path_java


def test_packaged_java_is_used_when_others_are_too_old(tmp_path: Path) -> None:
    create_fake_java(tmp_path / "path", "17.0.15")
    assert java.find_java() == Path("packaged")


def test_java_options_of_other_programs_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Xmx32g")
    assert "JAVA_TOOL_OPTIONS" not in java.java_environment()
