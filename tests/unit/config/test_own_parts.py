"""A part of the reader's own: a class and a YAML in a folder, given with --config-dir."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from raypipe.config.build import find_missing_members, require_part
from raypipe.embedders.hash import HashEmbedder
from raypipe.embedders.protocol import Embedder
from raypipe.sources import BookSource
from raypipe.sources.local import LocalBookSource
from raypipe.summarizers.lead import LeadSummarizer
from raypipe.summarizers.protocol import Summarizer
from tests.unit.command_line import RunCommandLine

pytestmark = pytest.mark.usefixtures("isolated_hydra", "no_services")

SHELF = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Shelf:
    label: str
    boards: int = 3
"""


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a config folder with `storage=shelf`, whose class is in a module beside it."""
    (tmp_path / "own_shelf.py").write_text(SHELF)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "mine" / "storage").mkdir(parents=True)
    (tmp_path / "mine" / "storage" / "shelf.yaml").write_text(
        "# My shelf.\n_target_: own_shelf.Shelf\nlabel: ???\nboards: 3\n"
    )
    return tmp_path / "mine"


@pytest.mark.parametrize("flag_first", [True, False])
def test_config_dir_adds_an_own_part(
    own_folder: Path,
    flag_first: bool,
    run_command_line: RunCommandLine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parts: list[Any] = []

    def main(cfg: DictConfig) -> int:
        parts.append(require_part(cfg, "storage"))
        return 0

    monkeypatch.setattr("raypipe.cli.commands.run.main", main)
    # A relative folder is relative to the current folder.
    flag, overrides = ["--config-dir", own_folder.name], ["storage=shelf", "storage.label=top"]
    args = [*flag, *overrides] if flag_first else [*overrides, *flag]
    code, _, err = run_command_line("run", *args, "storage.boards=5")
    assert (code, err) == (0, "")
    assert (parts[0].label, parts[0].boards) == ("top", 5)
    assert type(parts[0]).__module__ == "own_shelf"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], "give a value for storage.label=..."),
        (["storage.label=a", "storage.boards=x"], "storage.boards=x must be a whole number"),
        (["storage.label=a", "+storage.bords=2"], "did you mean boards?"),
    ],
)
def test_an_own_part_is_checked_like_a_shipped_part(
    own_folder: Path, run_command_line: RunCommandLine, overrides: list[str], message: str
) -> None:
    args = ("run", "--config-dir", str(own_folder), "storage=shelf", *overrides)
    code, _, err = run_command_line(*args)
    assert (code, message in err, err.count("\n")) == (2, True, 1), err


def test_help_shows_an_own_part(own_folder: Path, run_command_line: RunCommandLine) -> None:
    args = ("run", "--config-dir", str(own_folder), "storage=shelf", "--help")
    code, out, _ = run_command_line(*args)
    assert code == 0
    assert "local s3 samples [shelf]" in out
    assert "label=??? boards=3" in out


def test_an_error_names_a_class_that_does_not_exist(
    tmp_path: Path, run_command_line: RunCommandLine
) -> None:
    (tmp_path / "mine" / "storage").mkdir(parents=True)
    (tmp_path / "mine" / "storage" / "gone.yaml").write_text("_target_: nowhere.Store\n")
    code, _, err = run_command_line("run", "--config-dir", "mine", "storage=gone")
    assert (code, err.count("\n")) == (2, 1)
    assert "storage" in err
    assert "nowhere" in err


def test_an_error_names_a_file_that_is_not_yaml(
    tmp_path: Path, run_command_line: RunCommandLine
) -> None:
    (tmp_path / "mine" / "storage").mkdir(parents=True)
    (tmp_path / "mine" / "storage" / "bad.yaml").write_text("path: [1\n")
    code, _, err = run_command_line("run", "--config-dir", "mine", "storage=bad")
    assert (code, err.count("\n")) == (2, 1)
    assert "bad.yaml" in err


def test_a_class_that_lacks_members_of_its_contract_is_one_clear_line(
    own_folder: Path, run_command_line: RunCommandLine
) -> None:
    args = ["--config-dir", str(own_folder), "storage=shelf", "storage.label=top"]
    code, _, err = run_command_line("plan", *args)
    assert code == 2
    assert err.count("\n") == 1
    assert "storage._target_=own_shelf.Shelf: the class lacks identity, selection" in err
    assert "raypipe.sources.protocol.BookSource" in err


def test_inherited_members_and_fields_fulfill_a_contract() -> None:
    assert find_missing_members(LeadSummarizer(), Summarizer) == []
    assert find_missing_members(LocalBookSource("books"), BookSource) == []
    assert find_missing_members(HashEmbedder(), Embedder) == []
