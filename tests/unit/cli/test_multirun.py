"""`-m option=a,b` runs a command several times in one process."""

from __future__ import annotations

import signal
import tempfile
from pathlib import Path

import pytest
from omegaconf import DictConfig

from raypipe.cli.stop_signals import StopSignals
from raypipe.core.errors import OptionError
from tests.unit.command_line import RunCommandLine

pytestmark = pytest.mark.usefixtures("isolated_hydra", "no_services")


def test_a_multirun_runs_all_its_jobs_and_exits_with_the_highest_code(
    run_command_line: RunCommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    limits: list[int] = []

    def main(cfg: DictConfig) -> int:
        limits.append(cfg.limit)
        if cfg.limit == 2:
            raise OptionError("limit=2: not today")
        return 3 if cfg.limit == 1 else 0

    monkeypatch.setattr("raypipe.cli.commands.run.main", main)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code, _, err = run_command_line("run", "-m", "limit=1,2,5")
    assert code == 3
    assert limits == [1, 2, 5]
    assert err == "raypipe: limit=2: not today\n"
    # The files that Hydra writes in a multirun stay neither in the current folder nor elsewhere.
    assert list(tmp_path.iterdir()) == []


def test_a_signal_stops_the_remaining_jobs_of_a_multirun(
    run_command_line: RunCommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedders: list[str] = []

    def main(cfg: DictConfig) -> int:
        embedders.append(cfg.embedder["_target_"].rpartition(".")[2])
        if len(embedders) == 2:
            with StopSignals() as signals, signals.listen():
                signal.raise_signal(signal.SIGINT)
            return 4
        return 0

    monkeypatch.setattr("raypipe.cli.commands.run.main", main)
    code, _, _ = run_command_line("run", "-m", "embedder=hash,wordllama", "limit=1,2")
    assert code == 4
    assert embedders == ["HashEmbedder", "HashEmbedder"]
    code, _, _ = run_command_line("run", "-m", "embedder=hash,wordllama")
    assert code == 0  # the next command line starts without the signal
    assert embedders[2:] == ["HashEmbedder", "WordLlamaEmbedder"]
