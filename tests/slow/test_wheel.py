"""The wheel holds everything, and works where there is no checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel of this checkout, without the network."""
    out = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out)]
    done = subprocess.run([*build, str(ROOT)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = out.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the scripts' folder of an environment that has raypipe from the wheel alone.

    The packages it stands on are lent by a path: Python does not read the .pth files of a
    folder that a .pth file names, so an editable raypipe does not come along.
    """
    home = tmp_path_factory.mktemp("venv")
    venv.create(home, with_pip=False, symlinks=True)
    purelib = sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)})
    (Path(purelib) / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", "--python", str(home / "bin" / "python"), "install"]
    options = ["--quiet", "--no-deps", "--no-index", "--disable-pip-version-check"]
    subprocess.run([*pip, *options, str(wheel)], check=True)
    return home / "bin"


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """Return an empty folder to stand in."""
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


def call(program: Path, *args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a program of the environment with nothing of this one around it."""
    kept = {name: os.environ[name] for name in ("HOME", "TMPDIR", "LANG") if name in os.environ}
    environment = {**kept, "PATH": f"{program.parent}:/usr/bin:/bin"}
    return subprocess.run(
        [str(program), *args], cwd=cwd, env=environment, capture_output=True, text=True, timeout=600
    )


def test_the_wheel_holds_every_file_and_no_more(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    kinds = {".py", ".yaml", ".txt", ".lock", ".md"}
    wanted = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "raypipe").rglob("*")
        if path.suffix in kinds and "__pycache__" not in path.parts
    } | {f"raypipe/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "conf").rglob("*.yaml")}
    assert wanted - names == set()
    assert {name for name in names - wanted if not name.endswith((".gitattributes", ".typed"))} == (
        set()
    )
    for name in (
        "raypipe/conf/run.yaml",
        "raypipe/embedded/opensearch.lock",
        "raypipe/summarizers/common_english.txt",
        "raypipe/embedded/samples/variants/nghtm10.txt",
    ):
        assert name in names


def test_the_wheels_metadata_names_the_program_and_the_extras(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    info = {Path(name).name: name for name in archive.namelist() if ".dist-info/" in name}
    assert "raypipe = raypipe.cli.app:main" in archive.read(info["entry_points.txt"]).decode()
    metadata = archive.read(info["METADATA"]).decode()
    assert "Provides-Extra: embedded\n" in metadata
    assert "Requires-Python: <3.14,>=3.11\n" in metadata
    assert "LICENSE" in info


def test_it_is_the_wheel_that_runs(installed: Path, empty: Path) -> None:
    where = "import raypipe.config.paths as c; print(c.__file__); print(c.conf_dir())"
    done = call(installed / "python", "-c", where, cwd=empty)
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        assert Path(line).is_relative_to(installed.parent.resolve()), line


def test_it_composes_and_helps_from_an_empty_folder(installed: Path, empty: Path) -> None:
    job = call(installed / "raypipe", "run", "--cfg", "job", cwd=empty)
    assert (job.returncode, job.stderr) == (0, "")
    assert "bucket: sample-books" in job.stdout
    told = call(installed / "raypipe", "search", "--help", cwd=empty)
    assert (told.returncode, told.stderr) == (0, "")
    assert "[wordllama]" in told.stdout
    assert list(empty.iterdir()) == []


def test_a_real_run_from_an_empty_folder(installed: Path, empty: Path, tmp_path: Path) -> None:
    books = tmp_path / "books"
    books.mkdir()
    samples = sorted((ROOT / "raypipe" / "embedded" / "samples").glob("*__by__*.txt"))[:3]
    for sample in samples:
        shutil.copy(sample, books)

    def run() -> dict[str, Any]:
        done = call(
            installed / "raypipe", "run", "storage=local", f"storage.path={books}",
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
