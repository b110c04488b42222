"""One settings file serves `run`, `index`, `search` and `gc`; no option is typed twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.raypipe_command import Project, write_book

OWN_PARTS = """
from dataclasses import dataclass

from raypipe.embedders.hash import HashEmbedder
from raypipe.summarizers.lead import LeadSummarizer


@dataclass(frozen=True)
class OwnSummarizer(LeadSummarizer):
    @property
    def name(self) -> str:
        return "own"
"""


def write_settings(project: Project, executor: str = "local") -> Path:
    """Write books, a module with a part, and a settings file that names both.

    The embedder and the summarizer are not the defaults: a command that does not read the file
    finds no documents and no vectors of theirs.
    """
    for name in ("Harbor", "Orchard"):
        write_book(project.books, name)
    folder = project.folder / "project"
    (folder / "my-conf" / "summarizer").mkdir(parents=True)
    (folder / "own_parts_beside.py").write_text(OWN_PARTS)
    (folder / "my-conf" / "summarizer" / "own.yaml").write_text(
        "# The first words.\n_target_: own_parts_beside.OwnSummarizer\nwords: 200\n"
    )
    path = folder / "raypipe.yaml"
    path.write_text(f"""\
config_dir: my-conf
storage: local
storage.path: {project.books}
summarizer: own
summarizer.words: 30
embedder: hash
embedder.dimension: 32
opensearch: self_managed
opensearch.endpoint: {project.endpoint}
opensearch.index: {project.index}
opensearch.replicas: 0
state: {{uri: {project.state}}}
executor: {executor}
ray.dashboard: false
stages.summarize.workers: 1
profiles:
  inplace: {{index.mode: inplace}}
""")
    for item in [folder, *folder.rglob("*")]:
        item.chmod(0o755 if item.is_dir() else 0o644)
    return path


def run_command(project: Project, path: Path, *args: str) -> dict[str, Any]:
    """Run a command with a settings file, and return its report."""
    result: dict[str, Any] = json.loads(
        project.command(*args, "output=json", "--settings", str(path))
    )
    log = project.stderr()
    assert log.count(f"Settings: {path}") == 1, log
    return result


def test_commands_use_the_same_parts_without_typing_them(project: Project) -> None:
    path = write_settings(project)
    record = run_command(project, path, "run")
    assert (record["indexed"], record["failed"]) == (2, 0)
    # Forgotten options are in the file: a second index of the same recipe, and a search in it.
    rebuilt = run_command(project, path, "index")
    assert (rebuilt["indexed"], rebuilt["model_calls"]) == (2, 0)
    assert rebuilt["served"] != record["served"]
    hits = run_command(project, path, "search", "harbor", "storage=s3")["hits"]
    assert len(hits) == 2
    assert "search ignores it" in project.stderr()
    garbage = run_command(project, path, "gc", "profile=inplace")
    assert (garbage["indices"], garbage["removed"]) == ([], False)
    summaries = [document["summary"] for document in project.documents().values()]
    assert all(len(summary.split()) <= 30 for summary in summaries)


@pytest.mark.parametrize("command", ["run", "search"])
def test_a_folder_that_others_can_change_stops_a_command(project: Project, command: str) -> None:
    path = write_settings(project)
    path.parent.chmod(0o777)
    project.command(command, "x=1", "--settings", str(path), code=2)
    assert "names parts to import" in project.stderr()
    assert not project.state.exists()


def test_a_module_in_the_working_directory_is_a_part(project: Project) -> None:
    write_book(project.books, "Harbor")
    (project.folder / "own_parts_here.py").write_text(OWN_PARTS)
    args = project.run_options("summarizer._target_=own_parts_here.OwnSummarizer")
    args = [arg for arg in args if "summarizer.journal" not in arg]
    # `-P` keeps the working directory out of Python's own search path.
    assert json.loads(project.command("run", *args, python=["-P"]))["indexed"] == 1
    (project.folder / "own_parts_here.py").write_text(f"import not_installed\n{OWN_PARTS}")
    project.command("run", *args, code=2, python=["-P"])
    line = project.stderr().splitlines()[-1]
    assert "_target_=own_parts_here.OwnSummarizer: module own_parts_here cannot be imported" in line
    place = f"({project.folder}/own_parts_here.py, line 1)"
    assert f"ModuleNotFoundError: No module named 'not_installed' {place}; install it" in line
    assert "; search path: " in line
    (project.folder / "own_parts_here.py").chmod(0o666)
    project.command("run", *args, code=2, python=["-P"])
    assert "own_parts_here.py can be changed by other users. Fix: " in project.stderr()
