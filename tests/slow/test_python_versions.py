"""The unit tests pass and the wheel works under each supported Python of this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.raypipe_command import ROOT
from tests.slow.installed_wheel import (
    check_a_run,
    check_composing_and_help,
    check_that_the_wheel_runs,
)

pytestmark = pytest.mark.timeout(1_800)

SUPPORTED = ("3.11", "3.12", "3.13")
OWN = f"{sys.version_info.major}.{sys.version_info.minor}"
OTHERS = [version for version in SUPPORTED if version != OWN]
"""`make test` and test_wheel.py run under the version of this session."""
NEEDED = "import ctypes, sqlite3, ssl, sys, venv; print(sys.version.split()[0])"
"""Modules that a Python lacks if it was built without their libraries."""


def list_candidates(version: str) -> Iterator[Path]:
    """Yield the files that may be a Python of a version: in PATH, then of pyenv and uv."""
    name = f"python{version}"
    for folder in os.get_exec_path():
        yield Path(folder) / name
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from sorted(pyenv.glob(f"versions/{version}*/bin/{name}"))
    yield from sorted(Path.home().glob(f".local/share/uv/python/*{version}*/bin/{name}"))


def is_usable(python: Path, version: str) -> bool:
    """Tell whether a file is a Python of a version; a shim of pyenv may refuse to run."""
    try:
        done = subprocess.run([python, "-c", NEEDED], capture_output=True, text=True, timeout=60)
    except OSError:
        return False
    return done.returncode == 0 and done.stdout.startswith(f"{version}.")


def find_python(version: str) -> Path | None:
    """Return a Python of a version, or None if the machine has none."""
    return next((path for path in list_candidates(version) if is_usable(path, version)), None)


def environment(folder: Path) -> dict[str, str]:
    """Return the environment of commands that keep their bytecode out of this checkout."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "PYTEST_", "VIRTUAL_ENV", "RAY_"))
    }
    return {**kept, "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}


def run(command: list[str | Path], folder: Path) -> str:
    """Run a command in the root of this checkout and return its output."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}"
    return done.stdout


def install(python: Path, wheel: Path, folder: Path) -> Path:
    """Make an environment with the wheel and the tools of the tests; return its programs' folder.

    uv takes packages from its cache. pip is used where this session's environment has no uv.
    """
    home = folder / "venv"
    own = home / "bin" / "python"
    if has_uv():
        run([python, "-m", "venv", "--without-pip", home], folder)
        pip: list[str | Path] = [sys.executable, "-m", "uv", "pip", "install", "--python", own]
    else:
        run([python, "-m", "venv", home], folder)
        pip = [own, "-m", "pip", "install"]
    packages: list[str | Path] = [
        "-c",
        ROOT / "constraints.txt",
        f"raypipe[dev] @ {wheel.as_uri()}",
    ]
    run([*pip, "--quiet", *packages], folder)
    return home / "bin"


def has_uv() -> bool:
    command = [sys.executable, "-m", "uv", "--version"]
    return subprocess.run(command, capture_output=True).returncode == 0


@pytest.fixture(scope="module", params=OTHERS)
def scripts(
    request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """Return the programs' folder of an environment with another Python and the wheel."""
    version: str = request.param
    python = find_python(version)
    if python is None:
        pytest.skip(f"this machine has no usable python{version}")
    folder = tmp_path_factory.mktemp(f"python{version}")
    yield install(python, wheel, folder)
    shutil.rmtree(folder)  # an environment has 1.5 GB


def test_the_unit_tests_pass(scripts: Path, tmp_path: Path) -> None:
    # The tests in docs/ read files of the repository: the version of Python changes nothing.
    options = ["-n", "2", "-q", "-p", "no:cacheprovider", "--ignore=tests/unit/docs"]
    options += [f"--basetemp={tmp_path / 'unit'}"]
    printed = run([scripts / "python", "-m", "pytest", "tests/unit", *options], tmp_path)
    print(printed)
    assert " passed" in printed.splitlines()[-1]


def test_the_wheel_works(scripts: Path, empty: Path, books: Path) -> None:
    check_that_the_wheel_runs(scripts, empty)
    check_composing_and_help(scripts, empty)
    check_a_run(scripts, empty, books)
