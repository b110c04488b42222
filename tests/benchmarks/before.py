"""Run the commands of an earlier commit, to compare them with the present code in one session."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from report import ROOT, say

BASELINE = "3c73c8f"
"""The last commit before the package was restructured."""
_COMPLETE = ".checked-out"
_INSTALLED = ".installed"


@dataclass(frozen=True)
class Checkout:
    """A copy of the repository whose commands can be run.

    Args:
        root: The copy.
        python: The interpreter of its environment.
    """

    root: Path
    python: Path

    def command(self, *args: str) -> list[str]:
        """Return the command line of `raypipe` with these arguments."""
        return [str(self.python), "-m", "raypipe", *args]

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment in which the interpreter imports this copy."""
        return {**os.environ, "PYTHONPATH": str(self.root), **more}


PRESENT = Checkout(ROOT, Path(sys.executable))
"""The checkout that the benchmark is part of."""


def check_out(commit: str = BASELINE) -> Checkout:
    """Copy a commit out of the repository and give it an environment.

    The copy is kept in the folder of temporary files and used again by the next benchmark. Its
    environment is this interpreter's if the commit has the same dependencies, else its own.

    Args:
        commit: Any name that git has for the commit.

    Raises:
        subprocess.CalledProcessError: There is no such commit, or its packages cannot be had.
    """
    name = _git("rev-parse", "--verify", f"{commit}^{{commit}}").decode().strip()
    root = Path(tempfile.gettempdir()) / f"raypipe-before-{name[:12]}"
    if not (root / _COMPLETE).exists():
        say(f"checking out {commit}")
        shutil.rmtree(root, ignore_errors=True)
        with tarfile.open(fileobj=io.BytesIO(_git("archive", "--format=tar", name))) as archive:
            archive.extractall(root, filter="data")
        # A run would compile the modules while it is measured.
        compileall = [sys.executable, "-m", "compileall", "-q", str(root / "raypipe")]
        subprocess.run(compileall, check=True)
        (root / _COMPLETE).touch()
    return Checkout(root, _interpreter(root))


def _git(*args: str) -> bytes:
    return subprocess.run(["git", "-C", str(ROOT), *args], check=True, capture_output=True).stdout


def _interpreter(root: Path) -> Path:
    if _dependencies(root) == _dependencies(ROOT):
        return Path(sys.executable)
    python = root / ".venv" / "bin" / "python"
    if not (root / _INSTALLED).exists():
        say(f"installing the packages of {root.name}")
        shutil.rmtree(root / ".venv", ignore_errors=True)
        _install(root, python)
        (root / _INSTALLED).touch()
    return python


def _dependencies(root: Path) -> tuple[Any, ...]:
    """Return what decides which packages a checkout runs with."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pinned = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    versions = [line.strip() for line in pinned if line.strip() and not line.startswith("#")]
    embedded = project["optional-dependencies"]["embedded"]
    return sorted(versions), sorted(project["dependencies"]), sorted(embedded)


def _install(root: Path, python: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(python.parents[1])], check=True)
    packages = ["-c", str(root / "constraints.txt"), "-e", f"{root}[embedded]"]
    if uv := shutil.which("uv"):
        install = [uv, "pip", "install", "--quiet", "--python", str(python), *packages]
    else:
        install = [str(python), "-m", "pip", "install", "--quiet", *packages]
    subprocess.run(install, check=True)
