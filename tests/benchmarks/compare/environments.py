"""Make a virtual environment for each peer, and keep it for the next comparison."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REQUIREMENTS = Path(__file__).parent / "requirements"
KEPT = Path(tempfile.gettempdir()) / "raypipe-compare"
_INSTALLED = ".installed"
_VERSIONS = """
import importlib.metadata, json, sys
print(json.dumps({name: importlib.metadata.version(name) for name in sys.argv[1:]}))
"""


def read_packages(requirements: str) -> list[str]:
    """Return the names of the packages in the text of a requirements file."""
    lines = [line.partition("#")[0].strip() for line in requirements.splitlines()]
    return [line.partition("==")[0].partition("[")[0] for line in lines if line]


def prepare_environment(name: str) -> Path:
    """Install the packages of a peer, once; return the interpreter.

    The environment is made again when the requirements or this interpreter change. It needs the
    package index only then.

    Args:
        name: Name of the requirements file, without `.txt`.

    Raises:
        subprocess.CalledProcessError: A package is not available.
    """
    file = REQUIREMENTS / f"{name}.txt"
    made_from = f"{sys.version}\n{file.read_text(encoding='utf-8')}"
    root = KEPT / f"{name}-{hashlib.sha256(made_from.encode()).hexdigest()[:12]}"
    python = root / "bin" / "python"
    if not (root / _INSTALLED).exists():
        print(f"installing the packages of {name}", file=sys.stderr, flush=True)
        shutil.rmtree(root, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(root)], check=True)
        subprocess.run([*_installer(python), "-r", str(file)], check=True)
        (root / _INSTALLED).touch()
    return python


def read_versions(name: str, python: Path) -> dict[str, str]:
    """Return the installed version of each package that a requirements file names."""
    packages = read_packages((REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8"))
    command = [str(python), "-c", _VERSIONS, *packages]
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    versions: dict[str, str] = json.loads(found.stdout)
    return versions


def _installer(python: Path) -> list[str]:
    """Return the start of an install command: uv's, beside this interpreter or on the PATH."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv:
        # A peer would compile its modules while it is measured.
        return [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(python)]
    return [str(python), "-m", "pip", "install", "--quiet"]
