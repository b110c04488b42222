"""A run that fails before its first document leaves no index, and a search says what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raypipe.core.errors import SetupError
from raypipe.run.executors.local import LocalExecutor
from raypipe.summarizers.lead import LeadSummarizer
from tests.integration.raypipe_command import Project, run_in_process, write_book


@pytest.fixture
def books(project: Project) -> Project:
    write_book(project.books, "Book_00")
    return project


def indices(project: Project) -> list[str]:
    """Return the physical indices of the project's alias."""
    return sorted(project.client().indices.get(index=f"{project.index}*"))


def served(project: Project) -> list[str]:
    return [*project.index_options()[:3], f"state.uri={project.state}", "output=json"]


def fail(*_: Any, **__: Any) -> None:
    raise SetupError("no such model; set another")


def test_a_model_that_is_missing_leaves_no_index(
    books: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LeadSummarizer, "check", fail)
    with pytest.raises(SetupError, match="no such model"):
        books.run()
    assert indices(books) == []


def test_an_empty_folder_leaves_neither_index_nor_state(project: Project) -> None:
    with pytest.raises(SetupError, match="no books found"):
        project.run()
    assert indices(project) == []
    assert not project.state.exists()


def test_an_executor_that_does_not_start_leaves_no_index(
    books: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LocalExecutor, "execute", fail)
    with pytest.raises(SetupError, match="no such model"):
        books.run()
    assert indices(books) == []
    monkeypatch.undo()
    assert books.run()["indexed"] == 1  # the state is usable


def test_a_failed_rebuild_leaves_the_served_index_alone(
    books: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = books.run()
    write_book(books.books, "Book_01")
    for name, part in (("check", LeadSummarizer), ("execute", LocalExecutor)):
        with monkeypatch.context() as patch:
            patch.setattr(part, name, fail)
            with pytest.raises(SetupError, match="no such model"):
                books.run("embedder.dimension=32", "replace=true")
        assert indices(books) == [first["index"]]
        assert len(books.documents()) == 1


def test_a_failed_run_keeps_an_index_with_documents(
    books: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The index was created by the run that fails, and holds a document by then."""
    execute = LocalExecutor.execute

    def execute_and_fail(*args: Any, **kwargs: Any) -> None:
        execute(*args, **kwargs)
        fail()

    monkeypatch.setattr(LocalExecutor, "execute", execute_and_fail)
    with pytest.raises(SetupError, match="no such model"):
        books.run()
    assert len(indices(books)) == 1
    assert len(books.documents()) == 1


def test_a_purge_deletes_nothing_before_the_checks(
    books: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = books.run()
    monkeypatch.setattr(LeadSummarizer, "check", fail)
    with pytest.raises(SetupError, match="no such model"):
        books.run("purge=true", "checkpoint=none")
    assert indices(books) == [first["index"]]
    assert len(books.documents()) == 1


def test_a_search_tells_a_missing_index_from_an_empty_one(books: Project) -> None:
    words = ["query=tale", "embedder=hash", *books.index_options()[:3]]
    with pytest.raises(SetupError, match=r"does not exist; `raypipe run` creates it"):
        run_in_process("search", words)
    (books.books / "empty.txt").write_text("")
    for path in books.books.glob("Book*"):
        path.unlink()
    books.run(code=3)
    with pytest.raises(SetupError, match=r"holds no books yet; `raypipe run` adds them"):
        run_in_process("search", words)


@pytest.mark.parametrize("command", ["promote", "rollback", "gc"])
def test_a_command_without_a_state_makes_none(project: Project, command: str) -> None:
    with pytest.raises(SetupError, match="there is no state at"):
        run_in_process(command, served(project))
    assert not project.state.exists()


def test_promote_after_a_failed_run_is_one_line(
    books: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    books.run()
    with monkeypatch.context() as patch:
        patch.setattr(LocalExecutor, "execute", fail)
        with pytest.raises(SetupError, match="no such model"):
            books.run("embedder.dimension=32", "replace=true")
    with pytest.raises(SetupError, match="no index is being built beside"):
        run_in_process("promote", served(books))


def test_each_run_checks_the_server_once(books: Project, caplog: pytest.LogCaptureFixture) -> None:
    for options in ((), (), ("purge=true",)):
        caplog.clear()
        with caplog.at_level("INFO"):
            books.run(*options)
        assert caplog.text.count(" is OpenSearch ") == 1
