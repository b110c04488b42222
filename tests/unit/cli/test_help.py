"""`--help` and `--cfg job` show the commands, the options, and their values."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from raypipe.cli.help_text.program import COMMANDS
from tests.unit.command_line import CHOICES, CONF, RunCommandLine, compose_command

pytestmark = pytest.mark.usefixtures("isolated_hydra", "no_services")

JOB_COMMANDS = ("run", "plan", "index", "retry")
ROOT = Path(__file__).parents[3]


def test_the_program_help_lists_every_command(run_command_line: RunCommandLine) -> None:
    code, out, err = run_command_line("--help")
    assert (code, err) == (0, "")
    assert all(re.search(rf"^  {name} ", out, re.MULTILINE) for name in COMMANDS)
    assert len(out.splitlines()) <= 34


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_is_short_and_complete(
    command: str, run_command_line: RunCommandLine
) -> None:
    code, out, err = run_command_line(command, "-h")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith(f"raypipe {command}: ")
    assert len(lines) <= 95
    assert "_target_" not in out
    cfg = compose_command(command)
    for group, choice in CHOICES:
        is_group = group in cfg or (group == "scale" and command in JOB_COMMANDS)
        is_group = is_group and (group, command) != ("quota", "simulate")  # a plain option there
        row = next((line.split() for line in lines if line.startswith(f"  {group}  ")), [])
        assert (choice in row or f"[{choice}]" in row) == is_group, group
    # An option is listed by its full name, or below its part without the name of the part.
    for key in _keys(cfg):
        part, _, rest = key.partition(".")
        assert f"  {key}=" in out or (f"  {part}." in out and f" {rest}=" in out), key


def _keys(node: Any, path: str = "") -> Iterator[str]:
    # A table by model id counts as one option.
    if not isinstance(node, DictConfig) or not all(str(key).isidentifier() for key in node):
        yield path
        return
    for name in map(str, node):
        key = f"{path}.{name}" if path else name
        if name != "_target_" and not OmegaConf.is_interpolation(node, name):
            yield from _keys(None if OmegaConf.is_missing(node, name) else node[name], key)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_examples_of_a_command_use_that_command(command: str) -> None:
    lines = (CONF / f"{command}.yaml").read_text().splitlines()
    header = list(itertools.takewhile(lambda line: line.startswith("# raypipe"), lines))
    examples = header[1:]
    assert examples
    for line in examples:
        assert line.startswith(f"# raypipe {command}")


def test_help_shows_the_typed_values(run_command_line: RunCommandLine) -> None:
    code, out, _ = run_command_line("run", "storage=s3", "--help", "limit=7")
    assert code == 0
    assert "local [s3] samples" in out
    assert "bucket=???" in out
    assert "  limit=7 " in out


def test_help_with_a_wrong_option_reports_the_option(run_command_line: RunCommandLine) -> None:
    code, out, err = run_command_line("run", "--help", "storage=s4")
    assert (code, out) == (2, "")
    assert "local, s3, samples" in err


def test_the_shared_file_of_the_presets_is_not_a_choice(run_command_line: RunCommandLine) -> None:
    code, out, _ = run_command_line("run", "--help")
    assert code == 0
    [row] = [line.split() for line in out.splitlines() if line.startswith("  scale  ")]
    assert row == ["scale", "[small]", "medium", "large", "very_large"]
    code, out, err = run_command_line("run", "scale=base")
    assert (code, out) == (2, "")
    assert err.rstrip().endswith("choose one of large, medium, small, very_large")


@pytest.mark.parametrize(
    "args",
    [
        ["run", "--cfg", "job", "limit=7", "storage.bucket=b"],
        ["run", "limit=7", "--cfg", "job", "storage.bucket=b"],
        ["search", "two", "--cfg", "job", "friends", "limit=7"],
    ],
    ids=" ".join,
)
def test_cfg_job_prints_the_config_for_any_position_of_the_flag(
    args: list[str], run_command_line: RunCommandLine
) -> None:
    code, out, err = run_command_line(*args)
    assert (code, err) == (0, "")
    cfg = OmegaConf.create(out)
    assert isinstance(cfg, DictConfig)
    assert cfg.limit == 7
    assert cfg.query == "two friends" if args[0] == "search" else cfg.storage.bucket == "b"


def test_cfg_job_imports_no_heavy_library(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "raypipe", "run", "--cfg", "job"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "bucket: sample-books" in done.stdout
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    heavy = {"ray", "boto3", "opensearchpy", "wordllama", "numpy", "pyarrow", "moto"}
    assert "hydra" in imported
    assert imported & heavy == set()
    assert list(tmp_path.iterdir()) == []
