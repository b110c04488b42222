"""examples/quickstart.py on an empty folder: the sample books, embedded services, Ray."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.integration.raypipe_command import ROOT


def test_the_quickstart_runs_without_any_setting(empty: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "quickstart.py")],
        cwd=empty,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "25 books: 25 indexed, 0 done before"
    assert lines[1].startswith("1. The Lamp on Harrow Point (Edith Marlowe), ")
