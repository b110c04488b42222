"""Build the wheel of this checkout, and check that an environment which has it works."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.integration.raypipe_command import ROOT


def build_wheel(folder: Path) -> Path:
    """Build the wheel of this checkout, without the network."""
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    done = subprocess.run([*build, str(ROOT)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


def call(program: Path, *args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a program of an environment with nothing of this environment around it."""
    kept = {name: os.environ[name] for name in ("HOME", "TMPDIR", "LANG") if name in os.environ}
    environment = {**kept, "PATH": f"{program.parent}:/usr/bin:/bin"}
    return subprocess.run(
        [str(program), *args], cwd=cwd, env=environment, capture_output=True, text=True, timeout=600
    )


def check_that_the_wheel_runs(scripts: Path, empty: Path) -> None:
    """Check that the environment imports raypipe from itself, not from this checkout.

    Args:
        scripts: Folder of the programs of the environment.
        empty: An empty folder, in which the programs are called.
    """
    where = "import raypipe.config.paths as c; print(c.__file__); print(c.conf_dir())"
    done = call(scripts / "python", "-c", where, cwd=empty)
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        assert Path(line).is_relative_to(scripts.parent.resolve()), line


def check_composing_and_help(scripts: Path, empty: Path) -> None:
    """Check that options are composed and help is printed, and that neither writes a file."""
    job = call(scripts / "raypipe", "run", "--cfg", "job", cwd=empty)
    assert (job.returncode, job.stderr) == (0, "")
    assert "bucket: sample-books" in job.stdout
    told = call(scripts / "raypipe", "search", "--help", cwd=empty)
    assert (told.returncode, told.stderr) == (0, "")
    assert "[wordllama]" in told.stdout
    assert list(empty.iterdir()) == []


def check_a_run(scripts: Path, empty: Path, books: Path) -> None:
    """Check two runs over three books: what they print and which files they leave.

    Args:
        scripts: Folder of the programs of the environment.
        empty: An empty folder, in which `raypipe` is called.
        books: An empty folder for the books.
    """
    samples = sorted((ROOT / "raypipe" / "embedded" / "samples").glob("*__by__*.txt"))[:3]
    for sample in samples:
        shutil.copy(sample, books)

    def run() -> dict[str, Any]:
        done = call(
            scripts / "raypipe", "run", "storage=local", f"storage.path={books}",
            "summarizer=lead", "embedder=hash", "opensearch=none", "ray.dashboard=false",
            "ray.num_cpus=2", "output=json", cwd=empty,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        record: dict[str, Any] = json.loads(done.stdout)
        return record

    record = run()
    assert (record["listed"], record["finished"], record["failed"]) == (3, 3, 0)
    state = empty / "raypipe-data" / "state"
    kept = state / "runs" / record["run_id"]
    assert json.loads((kept / "run.json").read_text())["finished"] == 3
    # What is kept of the configuration is what was run.
    assert "raypipe.summarizers.lead.LeadSummarizer" in (kept / "config.yaml").read_text()
    assert list((state / "documents").rglob("part-*.parquet"))
    assert {path.name for path in empty.iterdir()} == {"raypipe-data", "processing.log"}

    again = run()
    assert (again["listed"], again["skipped"], again["finished"]) == (3, 3, 0)
    assert "ray_start" not in again["stage_seconds"]
