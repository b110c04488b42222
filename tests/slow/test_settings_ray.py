"""Own parts reach Ray's workers: on this machine, and on nodes that do not see their folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.raypipe_command import Project
from tests.integration.s3_server import CountingS3Server
from tests.integration.test_settings_run import OWN_PARTS, run_command, write_settings
from tests.slow.ray_head import AWS, BOOKS, on_s3
from tests.slow.two_node_cluster import TwoNodes, two_nodes

HIDING = ("queue.py", "statistics.py", "wave.py", "pyarrow.py", "raypipe.py", "numpy/__init__.py")
"""Modules that would break Python, raypipe or a library, if they were found first."""

CHECKED = """
    def check(self) -> None:
        import wave
        assert "lib/python" in wave.__file__.replace("\\\\", "/"), wave.__file__
"""


def write_hiding_modules(folder: Path) -> None:
    for name in HIDING:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("raise RuntimeError('this module hides another')\n")


def test_workers_import_parts_from_beside_the_file(project: Project) -> None:
    path = write_settings(project, executor="ray")
    assert path.parent != project.folder  # the commands start in the project's folder
    module = path.parent / "own_parts_beside.py"
    module.write_text(module.read_text() + CHECKED)
    write_hiding_modules(path.parent)
    record = run_command(project, path, "run")
    assert (record["indexed"], record["failed"]) == (2, 0)


@pytest.fixture(scope="module")
def nodes() -> Iterator[TwoNodes]:
    """Start a cluster whose nodes see no folder of a project."""
    with two_nodes() as started:
        yield started


@pytest.fixture
def args(
    project: Project, s3: CountingS3Server, nodes: TwoNodes, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """Write own parts and a settings file, and return the options of a run on the cluster."""
    for name, value in AWS.items():
        monkeypatch.setenv(name, value)
    folder = project.folder / "project"
    (folder / "own_package").mkdir(parents=True)
    (folder / "own_package" / "__init__.py").touch()
    (folder / "own_package" / "words.txt").write_text("12")
    (folder / "own_package" / "parts.py").write_text(OWN_PARTS + CHECKED)
    (folder / "own_embedder.py").write_text(EMBEDDER)
    (folder / "raypipe.yaml").write_text("embedder: hash\n")
    write_hiding_modules(folder)
    return [
        *on_s3(project, s3),
        f"ray.address={nodes.address}",
        "summarizer._target_=own_package.parts.OwnSummarizer",
        "embedder._target_=own_embedder.OwnEmbedder",
        f"--settings={folder / 'raypipe.yaml'}",
    ]


EMBEDDER = """
from dataclasses import dataclass
from pathlib import Path

import own_package
from raypipe.embedders.hash import HashEmbedder

WORDS = int((Path(own_package.__file__).parent / "words.txt").read_text())


@dataclass(frozen=True)
class OwnEmbedder(HashEmbedder):
    pass
"""


def test_nodes_that_do_not_see_the_folder_import_parts(project: Project, args: list[str]) -> None:
    record = json.loads(project.command("run", *args))
    assert (record["finished"], record["failed"]) == (BOOKS, 0)


def test_a_module_that_a_node_lacks_is_named(
    project: Project, args: list[str], nodes: TwoNodes
) -> None:
    """The working directory is in the driver's search path alone."""
    (project.folder / "only_here.py").touch()
    module = project.folder / "project" / "own_embedder.py"
    module.write_text("import only_here\n" + module.read_text())
    project.command("run", *args, code=1)
    last = project.stderr().splitlines()[-1]
    assert last.startswith("raypipe: imported on the driver but not on node ")
    assert any(f"({node[:8]})" in last for node in nodes.node_ids)
    assert "module own_embedder cannot be imported: ModuleNotFoundError: No module named" in last
    assert "raypipe_own_parts/0/own_embedder.py, line 1); install it" in last
