"""`index` and `retry`, alone, in any order with `run`, and after a kill."""

from __future__ import annotations

import json
import random
import signal

import pytest

from raypipe.core.errors import SetupError
from tests.integration.raypipe_command import (
    PARTS,
    Project,
    check_balance,
    project,
    run_in_process,
    shared_ray,
    wait_for,
    write_book,
)

__all__ = ["project", "shared_ray"]

pytestmark = pytest.mark.integration

BOOKS = 10


@pytest.fixture
def books(project: Project, shared_ray: None) -> Project:
    for number in range(BOOKS):
        write_book(project.books, f"Book_{number:02d}")
    return project


def work(books: Project) -> tuple[int, int]:
    """Return how many books were read and summarized since the last time."""
    return len(books.journal.take("reads")), len(books.journal.take("summaries"))


def test_index_takes_finished_documents_and_reads_nothing(books: Project) -> None:
    assert books.run("opensearch=none")["finished"] == BOOKS
    assert work(books) == (BOOKS, BOOKS)
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
    assert work(books) == (0, 0)
    assert books.run()["skipped"] == BOOKS, "run and index keep one ledger"


def latest_generation(books: Project) -> str:
    [body] = books.client().indices.get(index=books.index).values()
    generation: str = body["mappings"]["_meta"]["raypipe"]["generation"]
    return generation


def test_index_takes_the_newest_version_of_a_book(books: Project) -> None:
    books.run("opensearch=none")
    path = write_book(books.books, "Book_03", "is told in another way")
    path.touch()
    books.run("opensearch=none")
    work(books)
    assert books.run(command="index")["indexed"] == BOOKS
    [changed] = [one for one in books.documents().values() if one["title"] == "Book 03"]
    assert "another way" in changed["summary"]
    (books.books / "Book_04__by__Author_Book_04.txt").unlink()
    assert books.run(command="index")["listed"] == BOOKS, "nothing is listed at the source"
    assert work(books) == (0, 0)


def test_nothing_is_deleted_before_the_books_are_known(books: Project) -> None:
    books.run("limit=3")
    before = latest_generation(books)
    with pytest.raises(SetupError, match=r"no books found: .*/Nothing\* with keys that"):
        books.run("purge=true", "storage.prefix=Nothing")
    assert latest_generation(books) == before


def test_index_says_what_is_finished_by_another_recipe(books: Project) -> None:
    with pytest.raises(SetupError, match="no finished documents"):
        books.run(command="index")
    books.run("opensearch=none")
    with pytest.raises(SetupError, match=r"10 by lead.* and hash"):
        books.run("embedder.dimension=32", "purge=true", command="index")
    assert books.client().indices.get(index=f"{books.index}*") == {}, "no index was made for it"


def test_retry_takes_failed_books_alone(books: Project) -> None:
    sick = "Book_01__by__Author_Book_01.txt"
    (books.books / "Short__by__Nobody.txt").write_text(
        "Ten words are all that this small book has."
    )
    books.journal.record("unreadable", sick)
    record = books.run("limit=5", "max_attempts=1", code=3)
    assert (record["indexed"], record["failed"], record["left"]) == (4, 1, BOOKS - 4)
    assert books.run("limit=0", "max_attempts=1")["known_failures"] == 1
    work(books)
    assert books.run(command="retry", code=3)["failed"] == 1, "retry knows no cap on attempts"
    books.journal.take("unreadable")
    record = books.run(command="retry")
    assert (record["listed"], record["indexed"]) == (1, 1)
    assert books.journal.take("reads") == [sick, sick]
    assert books.run(code=3)["failed"] == 1
    assert books.run(command="retry")["listed"] == 0, "too few words are too few each time"
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


def test_any_order_ends_in_the_same_place(books: Project) -> None:
    chance = random.Random(1)
    sick = [f"Book_0{number}__by__Author_Book_0{number}.txt" for number in (2, 7)]
    for one in sick:
        books.journal.record("unreadable", one)
    steps = chance.choices(sorted(STEPS), k=6)
    for step in steps:
        take_step(books, step)
    books.journal.take("unreadable")
    books.run(command="retry")
    books.run()
    assert books.verify()["good"] == len(books.documents()) == BOOKS, steps
    summarized = books.journal.lines("summaries")
    assert len(summarized) == len(set(summarized)) == BOOKS, "none was paid for twice"


def take_step(books: Project, step: str) -> None:
    command = {"finish": "run", "purge": "run"}.get(step, step.split()[0])
    if command == "index" and not (books.state / "documents").exists():
        with pytest.raises(SetupError, match="finished"):
            run_in_process(command, books.run_options(*STEPS[step]))
        return
    check_balance(json.loads(run_in_process(command, books.run_options(*STEPS[step]), code=None)))


def test_an_index_that_was_killed_goes_on(books: Project) -> None:
    books.run("opensearch=none")
    books.extra_options += [
        f"checkpoint._target_={PARTS}.HeldCheckpointSettings",
        f"+checkpoint.journal={books.journal.folder}",
    ]
    books.journal.hold("ledger", 0)
    process = books.start("index", *books.run_options())
    wait_for(lambda: books.journal.count_waiting("ledger") or process.poll() is not None)
    assert process.poll() is None, books.stderr()
    process.send_signal(signal.SIGKILL)
    process.wait()
    books.wait_until_processes_end(killed=True)
    books.journal.release("ledger")
    work(books)
    assert books.processed_ids() == []
    assert books.run(command="index")["indexed"] == BOOKS
    assert work(books) == (0, 0)
    assert books.verify()["good"] == BOOKS
