"""Renamed books: a document goes only after the book is indexed under its new key."""

from __future__ import annotations

import shutil

from tests.integration.raypipe_command import Project, write_book

BOOKS = 10


def indexed_keys(project: Project) -> set[str]:
    return {document["key"] for document in project.documents().values()}


def move_into_folder(project: Project) -> list[str]:
    """Move all books into a new folder and return their new keys."""
    folder = project.books / "moved"
    folder.mkdir()
    keys = []
    for path in sorted(project.books.glob("*.txt")):
        shutil.move(path, folder / path.name)
        keys.append(f"moved/{path.name}")
    return keys


def test_moved_books_stay_until_they_are_indexed_under_their_new_keys(project: Project) -> None:
    old = {write_book(project.books, f"Tale{number}").name for number in range(BOOKS)}
    project.run()
    new = move_into_folder(project)

    record = project.run("limit=1")
    assert (record["indexed"], record["left"], record["removed"]) == (1, 9, 1)
    assert record["renames_waiting"] == 9
    keys = indexed_keys(project)
    assert len(keys) == BOOKS, "each book is found under exactly one key"
    assert len(keys & set(new)) == 1
    assert keys < old | set(new)

    project.journal.record("unreadable", new[-1])
    record = project.run(code=3)
    assert (record["indexed"], record["failed"]) == (8, 1)
    assert (record["removed"], record["renames_waiting"]) == (8, 1)
    assert indexed_keys(project) == {*new[:-1], new[-1].removeprefix("moved/")}

    project.journal.take("unreadable")
    record = project.run()
    assert (record["indexed"], record["removed"], record["renames_waiting"]) == (1, 1, 0)
    assert indexed_keys(project) == set(new)
    assert project.verify()["exit_code"] == 0


def test_a_new_index_without_a_renamed_book_is_not_served(project: Project) -> None:
    for number in range(3):
        write_book(project.books, f"Tale{number}")
    first = project.run()["index"]
    new = move_into_folder(project)
    project.journal.record("unreadable", new[0])
    record = project.run("summarizer.words=7", code=3)
    assert (record["served"], record["lacking"], record["renames_waiting"]) == (first, 1, 1)
    assert new[0].removeprefix("moved/") in indexed_keys(project)
    project.journal.take("unreadable")
    assert project.run("summarizer.words=7")["served"] == record["index"]
    assert indexed_keys(project) == set(new)


def test_books_that_are_moved_back_stay_until_they_are_indexed_again(project: Project) -> None:
    old = {write_book(project.books, f"Tale{number}").name for number in range(BOOKS)}
    project.run()
    move_into_folder(project)
    project.run()
    for path in (project.books / "moved").iterdir():
        shutil.move(path, project.books / path.name)

    record = project.run("limit=1")
    assert (record["indexed"], record["removed"], record["renames_waiting"]) == (1, 1, 9)
    assert len(indexed_keys(project)) == BOOKS, "each book is found under exactly one key"
    project.run()
    assert indexed_keys(project) == old
    assert project.verify()["exit_code"] == 0
