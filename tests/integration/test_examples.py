"""Each example runs as a user runs it, on a test's books and the real node."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.api_project import write_settings
from tests.integration.raypipe_command import ROOT, Project, run_python, write_book

EXAMPLES = ROOT / "examples"
ELSEWHERE = ("sink_only.py",)
"""Examples that another module runs."""


@pytest.fixture
def books(project: Project) -> Iterator[Project]:
    """Yield a project with three books and a settings file."""
    for name in ("Lighthouse", "Lamps", "Boats"):
        write_book(project.books, name)
    write_settings(project)
    yield project
    project.client().indices.delete(index="books-by-letters*", ignore=[404])


def run_example(books: Project, name: str) -> str:
    """Run an example in the project's folder, and return what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return run_python(str(EXAMPLES / name), cwd=books.folder, environment=environment)


def test_quickstart_and_the_analysis_of_its_documents(books: Project) -> None:
    printed = run_example(books, "quickstart.py").splitlines()
    assert printed[0] == "3 books: 3 indexed, 0 done before"
    assert printed[1].startswith("1. Lighthouse (Author Lighthouse), Lighthouse__by__")
    printed = run_example(books, "analysis_duckdb.py").splitlines()
    assert len(printed) == 6
    assert all(" words  " in line for line in printed[:3])
    assert all(" / " in line for line in printed[3:])


def test_own_embedder(books: Project) -> None:
    printed = run_example(books, "own_embedder.py").splitlines()
    assert printed[0] == "3 books indexed, 0 done before"
    assert len(printed) == 4
    assert run_example(books, "own_embedder.py").startswith("0 books indexed, 3 done before")


def test_the_notebook_runs_in_a_kernel(books: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = nbformat.read(EXAMPLES / "quickstart.ipynb", as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "it is stored without outputs"
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": books.folder}})
    client.execute()
    shown = [
        output["data"]["text/plain"]
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if output["output_type"] == "execute_result"
    ]
    assert shown[0] == "'3 new books, about $0.00'"
    assert shown[1].startswith("RunResult(run_id=")
    assert shown[2].startswith("[('Lighthouse', ")
    assert "Boats" in shown[3]
    assert shown[4] == "[]"


def test_every_example_is_run_by_a_test() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    files = (path for path in EXAMPLES.iterdir() if path.is_file() and path.suffix != ".md")
    names = {path.name for path in files} - set(ELSEWHERE)
    assert {name for name in names if f'"{name}"' not in text} == set()
