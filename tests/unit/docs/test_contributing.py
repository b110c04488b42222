"""The steps of CONTRIBUTING, executed word for word in a copy of the project."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[3]
STEPS = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("in three steps")[2]
FILES = ["raypipe/embedders/letters.py", "conf/embedder/letters.yaml"]
TEST = "tests/unit/embedders/test_letters_embedder.py"


def read_blocks() -> list[str]:
    """Return the content of the files in the steps, in order."""
    blocks = re.findall(r"^   ```\w+\n(.*?)^   ```$", STEPS, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(block) for block in blocks]


def test_an_embedder_is_added_in_three_steps(tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    for part in ("raypipe", "conf", "tests/unit"):
        shutil.copytree(ROOT / part, tmp_path / part, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for name, block in zip([*FILES, TEST], read_blocks(), strict=True):
        assert name in STEPS
        (tmp_path / name).write_text(block, encoding="utf-8")
    checks = [TEST, "tests/unit/test_pickling.py", "-k", "letters or every_kind"]
    printed = run_python(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", *checks)
    assert "5 passed" in printed, printed
    printed = run_python(tmp_path, "-m", "raypipe", "run", "embedder=letters", "--cfg", "job")
    assert "LettersEmbedder" in printed
    printed = run_python(tmp_path, "-m", "ruff", "check", *FILES[:1], TEST)
    assert printed.startswith("All checks passed")


def run_python(folder: Path, *args: str) -> str:
    """Run Python in the copy, and return its output."""
    done = subprocess.run(
        [sys.executable, *args],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
