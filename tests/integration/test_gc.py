"""`gc` lists unneeded indices and documents, and deletes them with apply=true."""

from __future__ import annotations

import json
from typing import Any

import pytest

from raypipe.core.errors import SetupError
from tests.integration.raypipe_command import Project, run_in_process, write_book


def gc(project: Project, *more: str) -> dict[str, Any]:
    options = [*project.index_options(), f"state.uri={project.state}", "output=json"]
    report: dict[str, Any] = json.loads(run_in_process("gc", [*options, *more]))
    return report


def indices(project: Project) -> set[str]:
    return set(project.client().indices.get(index=f"{project.index}-*"))


def test_old_indices_and_their_documents_are_listed_then_deleted(project: Project) -> None:
    for number in range(2):
        write_book(project.books, f"Book_{number}")
    created = [project.run(f"summarizer.words={words}")["index"] for words in (20, 21, 22)]
    assert indices(project) == set(created[1:]), "the run itself keeps one old index"

    report = gc(project)
    assert report["indices"] == []
    [unneeded] = report["recipes"]
    assert (unneeded["books"], report["removed"]) == (2, False)
    assert gc(project, "apply=true")["recipes"] == [unneeded]
    assert gc(project) == {
        "indices": [], "recipes": [], "unrecorded": [], "removed": False
    }  # fmt: skip

    report = gc(project, "keep=0")
    assert report["indices"] == [created[1]]
    assert indices(project) == set(created[1:]), "it was only listed"
    gc(project, "keep=0", "apply=true")
    assert indices(project) == {created[2]}
    assert len(project.documents()) == 2
    assert project.run("summarizer.words=22")["skipped"] == 2
    with pytest.raises(SetupError, match="no index to roll back to"):
        run_in_process("rollback", [*project.index_options(), f"state.uri={project.state}"])


def test_a_closed_index_is_found_and_its_documents_are_kept(project: Project) -> None:
    write_book(project.books, "Book_0")
    first, second = (project.run(f"summarizer.words={words}")["index"] for words in (20, 21))
    project.client().indices.close(index=first)
    report = gc(project, "keep=0", "apply=true")
    assert (report["indices"], report["recipes"]) == ([], [])
    rollback = [*project.index_options(), f"state.uri={project.state}"]
    with pytest.raises(SetupError, match=rf"{first} is closed, .*POST /{first}/_open"):
        run_in_process("rollback", rollback)
    project.client().indices.open(index=first)
    run_in_process("rollback", rollback)
    assert project.run("summarizer.words=20")["skipped"] == 1
    assert indices(project) == {first, second}
