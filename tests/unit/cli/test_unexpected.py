"""An error that raypipe does not expect is one line; a file has its traceback."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import pytest
from omegaconf import DictConfig

from raypipe.cli.unexpected import explain_unexpected
from tests.unit.command_line import RunCommandLine


@pytest.fixture(autouse=True)
def _temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.mark.usefixtures("isolated_hydra", "no_services")
def test_a_command_with_a_log_has_the_traceback_there(
    run_command_line: RunCommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def main(cfg: DictConfig) -> int:
        raise KeyError("generation")

    monkeypatch.setattr("raypipe.cli.commands.run.main", main)
    code, out, err = run_command_line("run")
    assert (code, out) == (1, "")
    log = tmp_path / "processing.log"
    assert err == (
        f"raypipe: unexpected KeyError: 'generation'; the traceback is in {log}: please report "
        "it, it is a fault of raypipe\n"
    )
    assert 'raise KeyError("generation")' in log.read_text()


@pytest.mark.usefixtures("isolated_hydra", "no_services")
def test_a_command_without_a_log_writes_a_file(
    run_command_line: RunCommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def main(cfg: DictConfig) -> int:
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr("raypipe.cli.commands.down.main", main)
    code, _, err = run_command_line("down")
    assert code == 1
    assert err.startswith("raypipe: unexpected RuntimeError: first line; the traceback is in ")
    assert err.count("\n") == 1
    match = re.search(r"is in (\S+):", err)
    assert match
    assert "second line" in Path(match[1]).read_text()
    assert Path(match[1]).stat().st_mode & 0o077 == 0


def test_an_error_of_the_system_names_the_file() -> None:
    line = explain_unexpected(PermissionError(13, "Permission denied", "/etc/shadow"))
    assert line.startswith("/etc/shadow: Permission denied; check permissions, disk and limits (")


def test_an_error_is_told_although_no_file_can_be_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    assert "no file for the traceback" in explain_unexpected(ValueError())
