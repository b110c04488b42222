"""The datasink works with the oldest version of Ray that raypipe accepts."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from raypipe.opensearch.connection.client import Connection
from tests.integration.raypipe_command import ROOT
from tests.slow.test_python_versions import has_uv, run

pytestmark = pytest.mark.timeout(900)


def oldest_ray() -> str:
    """Return the lower bound in pyproject.toml."""
    found = re.search(r'"ray\[data\]>=([\d.]+),', (ROOT / "pyproject.toml").read_text())
    assert found
    return found[1]


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return the Python of an environment with the wheel and the oldest Ray."""
    folder = tmp_path_factory.mktemp("older-ray")
    home = folder / "venv"
    own = home / "bin" / "python"
    if has_uv():
        run([sys.executable, "-m", "venv", "--without-pip", home], folder)
        pip: list[str | Path] = [sys.executable, "-m", "uv", "pip", "install", "--python", own]
    else:
        run([sys.executable, "-m", "venv", home], folder)
        pip = [own, "-m", "pip", "install"]
    # Older versions of Ray read no data frames of pandas 3.
    packages = [f"raypipe[sink] @ {wheel.as_uri()}", f"ray[data]=={oldest_ray()}", "pandas<3"]
    run([*pip, "--quiet", *packages], folder)
    yield own
    shutil.rmtree(folder)


def test_the_example_runs(python: Path, opensearch_url: str, tmp_path: Path) -> None:
    node = Connection(opensearch_url)
    node.ask("DELETE", "/sink-example", ignore=(404,))
    printed = run([python, ROOT / "examples" / "sink_only.py", opensearch_url], tmp_path)
    assert f"Ray {oldest_ray()}: 2,000 rows, 2,000 acknowledged, 0 rejected" in printed
    node.ask("POST", "/sink-example/_refresh")
    assert node.ask("GET", "/sink-example/_count")["count"] == 2_000
    mapping = node.ask("GET", "/sink-example")["sink-example"]["mappings"]
    assert mapping["properties"]["embedding"]["type"] == "knn_vector"
    node.ask("DELETE", "/sink-example")


def test_the_pipeline_refuses_it_with_one_line(python: Path, tmp_path: Path) -> None:
    lines = (
        "from raypipe.core.errors import SetupError",
        "from raypipe.run.executors import create_executor",
        "from raypipe.run.job import Execution, ModelLimits",
        "try: create_executor(Execution(), ModelLimits())",
        "except SetupError as error: print(error)",
    )
    printed = run([python, "-c", "\n".join(lines)], tmp_path)
    assert f"needs Ray 2.60.0, and the installed version is {oldest_ray()}; run" in printed
