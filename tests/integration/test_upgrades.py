"""A new version of raypipe makes no document again unless it is asked to."""

from __future__ import annotations

import json
from typing import Any

import pytest

from raypipe.opensearch.index import mapping
from raypipe.text import cleaner
from tests.integration.raypipe_command import Project, run_in_process, write_book

BOOKS = 3


@pytest.fixture
def books(project: Project) -> Project:
    for number in range(BOOKS):
        write_book(project.books, f"Book_{number:02d}")
    return project


@pytest.fixture
def upgrade(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that gives raypipe another version of the cleaner and another field."""

    def change() -> None:
        monkeypatch.setattr(cleaner, "CLEANER_VERSION", cleaner.CLEANER_VERSION + 1)
        monkeypatch.setitem(mapping.FIELDS, "shelf", mapping.KEYWORD)

    return change


def recipes(books: Project) -> dict[str, str]:
    """Return the document recipe of each indexed book by key."""
    return {cell["key"]: cell["document_recipe"] for cell in books.documents().values()}


def test_an_upgrade_makes_new_books_in_the_served_index_and_the_others_on_request(
    books: Project, upgrade: Any, caplog: pytest.LogCaptureFixture
) -> None:
    first = books.run()
    old_recipe = set(recipes(books).values())
    books.journal.take("reads")
    upgrade()

    with caplog.at_level("INFO"):
        record = books.run()
    assert (record["skipped"], record["index"]) == (BOOKS, first["index"])
    assert "3 of these documents were made by an older raypipe" in caplog.text
    new = write_book(books.books, "New").name
    changed = write_book(books.books, "Book_00", "tells of a storm").name
    record = books.run()
    assert (record["indexed"], record["index"]) == (2, first["index"])
    assert sorted(books.journal.take("reads")) == sorted([new, changed])
    by_key = recipes(books)
    assert {by_key.pop(new), by_key.pop(changed)}.isdisjoint(old_recipe)
    assert set(by_key.values()) == old_recipe

    plan = json.loads(run_in_process("plan", books.run_options()))
    assert (plan["done"], plan["new"]) == (BOOKS + 1, 0)
    assert (plan["upgrade"]["documents"], plan["upgrade"]["reads"]) == (BOOKS - 1, BOOKS - 1)
    assert books.verify()["exit_code"] == 0

    upgraded = books.run("upgrade=true")
    assert upgraded["served"] == upgraded["index"] != first["index"]
    assert len(set(recipes(books).values())) == 1
    assert len(books.journal.take("reads")) == BOOKS - 1, "finished books are not read again"
    assert books.run()["skipped"] == BOOKS + 1


def test_a_lost_document_of_an_older_version_is_indexed_as_it_was(
    books: Project, upgrade: Any
) -> None:
    record = books.run()
    before = books.documents()
    books.journal.take("reads")
    upgrade()
    books.client().delete(index=record["index"], id=sorted(before)[0], refresh=True)
    assert books.run()["indexed"] == 1
    assert books.documents() == before
    assert books.journal.lines("reads") == []


def test_index_rebuilds_with_documents_of_all_accepted_versions(
    books: Project, upgrade: Any
) -> None:
    first = books.run()
    upgrade()
    write_book(books.books, "New")
    books.run()
    before = books.documents()
    record = books.run(command="index")
    assert (record["indexed"], record["served"]) == (BOOKS + 1, record["index"])
    assert record["index"] != first["index"]
    assert books.documents() == before


def test_without_an_index_finished_books_are_not_read_again(books: Project, upgrade: Any) -> None:
    books.run("opensearch=none")
    upgrade()
    assert books.run("opensearch=none")["skipped"] == BOOKS
    assert books.run()["indexed"] == BOOKS
    assert len(books.journal.lines("reads")) == BOOKS


def test_a_failed_book_is_not_tried_again_by_an_upgrade(books: Project, upgrade: Any) -> None:
    (books.books / "empty.txt").write_text("")
    assert books.run(code=3)["failed"] == 1
    upgrade()
    record = books.run()
    assert (record["known_failures"], record["failed"]) == (1, 0)
