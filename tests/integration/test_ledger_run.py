"""A finished book is never read or summarized again, whatever else changes."""

from __future__ import annotations

import os

import pytest

from raypipe.core.errors import SetupError
from tests.integration.raypipe_command import Project, write_book

BOOKS = 6


@pytest.fixture
def books(project: Project) -> Project:
    for number in range(BOOKS):
        write_book(project.books, f"Book_{number}")
    return project


def take_work(project: Project) -> tuple[int, int]:
    """Return how many books were read and summarized since the last call."""
    return len(project.journal.take("reads")), len(project.journal.take("summaries"))


def test_a_book_is_read_and_summarized_once(books: Project) -> None:
    finished = books.run("opensearch=none")
    assert (finished["finished"], finished["indexed"], take_work(books)) == (
        BOOKS,
        0,
        (BOOKS, BOOKS),
    )
    assert books.run("opensearch=none")["skipped"] == BOOKS
    with pytest.raises(SetupError, match="does not exist at"):
        books.verify()  # there is no index yet

    first = books.run()
    assert (first["indexed"], take_work(books)) == (BOOKS, (0, 0)), (
        "documents go straight to the sink"
    )
    assert books.verify()["good"] == BOOKS
    before = books.documents()

    purged = books.run("purge=true")
    assert (purged["indexed"], take_work(books)) == (BOOKS, (0, 0))
    assert purged["generation"] != first["generation"]
    assert books.documents() == before
    assert books.run()["skipped"] == BOOKS

    repeated = books.run("checkpoint=none")
    assert (repeated["indexed"], repeated["skipped"], take_work(books)[0]) == (BOOKS, 0, BOOKS)
    assert books.documents() == before


def test_a_new_embedder_starts_from_finished_summaries(books: Project) -> None:
    books.run()
    assert take_work(books) == (BOOKS, BOOKS)
    with pytest.raises(SetupError, match="dimension: the index has 64, this run needs 32"):
        books.run("embedder.dimension=32", "replace=true", "index.mode=inplace")
    beside = books.run("embedder.dimension=32", "replace=true")
    assert (beside["indexed"], beside["served"]) == (BOOKS, beside["index"])
    assert (
        books.run("embedder.dimension=32", "replace=true", "limit=0", "purge=true")["left"] == BOOKS
    )

    other = [f"opensearch.index={books.index}-other", "embedder.dimension=32"]
    assert books.run(*other)["indexed"] == BOOKS
    assert take_work(books) == (0, 0)
    books.index += "-other"
    dimensions = {len(document["summary_vector"]) for document in books.documents().values()}
    assert dimensions == {32}

    finished = books.run("embedder.dimension=16", "opensearch=none")
    assert (finished["finished"], take_work(books)) == (BOOKS, (0, 0))


def test_a_renamed_or_touched_book_is_read_and_not_summarized(books: Project) -> None:
    books.run()
    take_work(books)
    renamed, touched, changed, *_ = sorted(books.books.iterdir())
    renamed.rename(renamed.with_name(f"a_new_name__{renamed.name.partition('__')[2]}"))
    os.utime(touched, (1.8e9, 1.8e9))
    write_book(books.books, changed.name.partition("__")[0], "takes another turn")
    again = books.run()
    assert (again["indexed"], again["skipped"], again["removed"]) == (3, BOOKS - 3, 1)
    assert take_work(books) == (3, 1), "only the changed text is summarized"
    assert books.verify()["removed"] == [], "the old name is no longer in the index"
    assert len(books.documents()) == BOOKS


def test_a_limit_leaves_books_and_verify_reports_missing_documents(books: Project) -> None:
    limited = books.run("limit=4")
    assert (limited["indexed"], limited["left"], limited["status"]) == (4, 2, "done")
    assert len(books.verify(code=4)["pending"]) == 2
    assert books.run("limit=4")["indexed"] == 2
    assert books.verify() == {
        "good": BOOKS,
        "missing": [],
        "differing": [],
        "unledgered": [],
        "failed": [],
        "pending": [],
        "removed": [],
        "unseen": [],
        "exit_code": 0,
    }
    book_id, *_ = books.documents()
    books.client().delete(index=books.index, id=book_id, refresh=True)
    assert len(books.verify(code=1)["missing"]) == 1
