"""What nothing needs any more is shown first, and removed if asked to."""

from __future__ import annotations

import json
from typing import Any

import pytest

from raypipe.core.errors import SetupError
from tests.integration.raypipe_command import (
    Project,
    project,
    run_in_process,
    shared_ray,
    write_book,
)

__all__ = ["project", "shared_ray"]

pytestmark = pytest.mark.integration


def gc(project: Project, *more: str) -> dict[str, Any]:
    where = [*project.index_options(), f"state.uri={project.state}", "output=json"]
    told: dict[str, Any] = json.loads(run_in_process("gc", [*where, *more]))
    return told


def indices(project: Project) -> set[str]:
    return set(project.client().indices.get(index=f"{project.index}-*"))


def test_old_indices_and_their_documents(project: Project, shared_ray: None) -> None:
    for number in range(2):
        write_book(project.books, f"Book_{number}")
    made = [project.run(f"summarizer.words={words}")["index"] for words in (20, 21, 22)]
    assert indices(project) == set(made[1:]), "the run itself keeps one old index"

    told = gc(project)
    assert told["indices"] == []
    [unneeded] = told["recipes"]
    assert (unneeded["books"], told["removed"]) == (2, False)
    assert gc(project, "apply=true")["recipes"] == [unneeded]
    assert gc(project) == {"indices": [], "recipes": [], "removed": False}

    told = gc(project, "keep=0")
    assert told["indices"] == [made[1]]
    assert indices(project) == set(made[1:]), "it was only shown"
    gc(project, "keep=0", "apply=true")
    assert indices(project) == {made[2]}
    assert len(project.documents()) == 2
    assert project.run("summarizer.words=22")["skipped"] == 2
    with pytest.raises(SetupError, match="no index to roll back to"):
        run_in_process("rollback", [*project.index_options(), f"state.uri={project.state}"])
