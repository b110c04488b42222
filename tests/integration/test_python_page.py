"""Every block of docs/guides/python.md and of README runs, on a test's bucket and node."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import raypipe
from tests.integration.api_project import write_settings
from tests.integration.raypipe_command import ROOT, Project, write_book
from tests.integration.s3_server import CountingS3Server

PAGES = ("docs/guides/python.md", "README.md")


def blocks(page: str) -> list[str]:
    """Return the Python blocks of a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def place(project: Project, s3: CountingS3Server, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Return a project with a bucket `my-books`, a folder `books` and a settings file."""
    s3.create_bucket("my-books")
    for name in ("Kites", "Lighthouse"):
        text = write_book(project.books, name).read_bytes()
        s3.put_object("my-books", f"novels/{name}.txt", text)
    s3.put_object("my-books", "empty.txt", b"")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.chdir(project.folder)
    write_settings(project, **{"state.uri": "raypipe-data/state"})
    settings = project.folder / "raypipe.yaml"
    lines = settings.read_text().splitlines()
    settings.write_text("\n".join(line for line in lines if not line.startswith("storage")))
    return project


@pytest.mark.parametrize("page", PAGES)
def test_every_block_runs(page: str, place: Project, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    for number, block in enumerate(blocks(page), 1):
        exec(compile(block, f"{page}, block {number}", "exec"), names)
    printed = capsys.readouterr().out
    assert "Lighthouse" in printed
    if page == PAGES[0]:
        assert "2 indexed, 1 failed, 0 left" in printed
        assert "empty.txt empty" in printed
        assert names["books"].num_rows == 2
        assert len(Path("books.jsonl").read_text().splitlines()) == 2


def test_the_page_names_every_function() -> None:
    text = (ROOT / PAGES[0]).read_text(encoding="utf-8")
    functions = set(raypipe.__all__) - {"__version__"}
    assert {name for name in functions if not re.search(rf"\b{name}\b", text)} == set()
    errors = set(raypipe.errors.__all__) - {"BookError"}  # for parts of the user
    assert {name for name in errors if f"{name}`" not in text} == set()
    assert len(text.splitlines()) <= 130, "at most two pages"
