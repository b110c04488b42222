"""`index` and `retry`: on their own, in any order with `run`, and after a kill."""

from __future__ import annotations

import json
import random

import pytest

from raypipe.core.errors import SetupError
from tests.integration.raypipe_command import (
    Project,
    check_balance,
    run_in_process,
    write_book,
)

BOOKS = 10


@pytest.fixture
def books(project: Project) -> Project:
    for number in range(BOOKS):
        write_book(project.books, f"Book_{number:02d}")
    return project


def take_work(books: Project) -> tuple[int, int]:
    """Return how many books were read and summarized since the last call."""
    return len(books.journal.take("reads")), len(books.journal.take("summaries"))


def test_index_uses_finished_documents_and_reads_no_book(books: Project) -> None:
    assert books.run("opensearch=none")["finished"] == BOOKS
    assert take_work(books) == (BOOKS, BOOKS)
    first = books.run("limit=4", command="index")
    assert (first["listed"], first["indexed"], first["left"]) == (BOOKS, 4, BOOKS - 4)
    filled = books.run("index.mode=inplace", command="index")
    assert filled["indexed"] == BOOKS - 4
    before, generation = books.documents(), latest_generation(books)
    assert len(before) == BOOKS
    assert books.run("index.mode=inplace", command="index")["skipped"] == BOOKS, "all is indexed"
    assert books.run("purge=true", command="index")["indexed"] == BOOKS
    assert books.documents() == before
    assert latest_generation(books) != generation
    assert take_work(books) == (0, 0)
    assert books.run()["skipped"] == BOOKS, "`run` and `index` share a ledger"


def latest_generation(books: Project) -> str:
    [body] = books.client().indices.get(index=books.index).values()
    generation: str = body["mappings"]["_meta"]["raypipe"]["generation"]
    return generation


def test_index_uses_the_newest_version_of_a_book(books: Project) -> None:
    books.run("opensearch=none")
    path = write_book(books.books, "Book_03", "is written in another way")
    path.touch()
    books.run("opensearch=none")
    take_work(books)
    assert books.run(command="index")["indexed"] == BOOKS
    [changed] = [
        document for document in books.documents().values() if document["title"] == "Book 03"
    ]
    assert "another way" in changed["summary"]
    (books.books / "Book_04__by__Author_Book_04.txt").unlink()
    assert books.run(command="index")["listed"] == BOOKS, "`index` does not list the source"
    assert take_work(books) == (0, 0)


def test_a_purge_lists_the_books_before_it_deletes(books: Project) -> None:
    books.run("limit=3")
    before = latest_generation(books)
    with pytest.raises(SetupError, match=r"no books found: .*/Nothing\* with keys that"):
        books.run("purge=true", "storage.prefix=Nothing")
    assert latest_generation(books) == before


def test_index_reports_documents_of_another_recipe(books: Project) -> None:
    with pytest.raises(SetupError, match="there is no state at"):
        books.run(command="index")
    books.run("opensearch=none")
    with pytest.raises(SetupError, match=r"10 by lead.* and hash"):
        books.run("embedder.dimension=32", "replace=true", "purge=true", command="index")
    assert books.client().indices.get(index=f"{books.index}*") == {}, "no index was created"


def test_retry_processes_only_failed_books(books: Project) -> None:
    unreadable = "Book_01__by__Author_Book_01.txt"
    (books.books / "Short__by__Nobody.txt").write_text(
        "Ten words are all that this small book has."
    )
    books.journal.record("unreadable", unreadable)
    record = books.run("limit=5", "max_attempts=1", code=3)
    assert (record["indexed"], record["failed"], record["left"]) == (4, 1, BOOKS - 4)
    assert books.run("limit=0", "max_attempts=1")["known_failures"] == 1
    take_work(books)
    assert books.run(command="retry", code=3)["failed"] == 1, "`retry` has no limit of attempts"
    books.journal.take("unreadable")
    record = books.run(command="retry")
    assert (record["listed"], record["indexed"]) == (1, 1)
    assert books.journal.take("reads") == [unreadable, unreadable]
    assert books.run(code=3)["failed"] == 1
    assert books.run(command="retry")["listed"] == 0, "a permanent failure is not retried"
    assert books.run("all=true", command="retry", code=3)["failed"] == 1
    record = books.run("all=true", "text.min_words=3", command="retry")
    assert (record["listed"], record["indexed"]) == (1, 1)
    assert books.run(command="retry")["listed"] == books.run(code=0)["failed"] == 0
    assert books.verify()["good"] == BOOKS + 1


STEPS: dict[str, list[str]] = {
    "run": ["limit=3"],
    "finish": ["opensearch=none", "limit=4"],
    "index": ["limit=5"],
    "index in place": ["index.mode=inplace"],
    "purge": ["purge=true", "limit=2"],
    "index purge": ["purge=true", "limit=6"],
    "retry": [],
    "retry all": ["all=true"],
}


def test_any_order_of_commands_gives_the_same_index(books: Project) -> None:
    rng = random.Random(1)
    unreadable = [f"Book_0{number}__by__Author_Book_0{number}.txt" for number in (2, 7)]
    for key in unreadable:
        books.journal.record("unreadable", key)
    steps = rng.choices(sorted(STEPS), k=6)
    for step in steps:
        run_step(books, step)
    books.journal.take("unreadable")
    books.run()
    books.run(command="retry")
    assert books.verify()["good"] == len(books.documents()) == BOOKS, steps
    summarized = books.journal.lines("summaries")
    assert len(summarized) == len(set(summarized)) == BOOKS, "no book was summarized twice"


def run_step(books: Project, step: str) -> None:
    command = {"finish": "run", "purge": "run"}.get(step, step.split()[0])
    if command != "run" and not (books.state / "documents").exists():
        with pytest.raises(SetupError, match=r"there is no state at|finished"):
            run_in_process(command, books.run_options(*STEPS[step]))
        return
    check_balance(json.loads(run_in_process(command, books.run_options(*STEPS[step]), code=None)))


def test_a_killed_index_command_continues(books: Project) -> None:
    books.run("opensearch=none")
    books.extra_options += books.held_checkpoint()
    books.journal.hold("ledger", 0)
    books.kill_at("ledger", "index", *books.run_options())
    take_work(books)
    assert books.processed_ids() == []
    assert books.run(command="index")["indexed"] == BOOKS
    assert take_work(books) == (0, 0)
    assert books.verify()["good"] == BOOKS
