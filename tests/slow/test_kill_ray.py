"""Signals to a job on Ray: SIGTERM, and kill -9 between the bulk response and the ledger."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from raypipe.coordination.crash_guard import STOP_CHECK_INTERVAL_S
from tests.integration.raypipe_command import Project, wait_for, write_book

BOOKS = 8


@pytest.fixture
def books(project: Project) -> Project:
    """Return a project with books and batches of two."""
    for number in range(BOOKS):
        write_book(project.books, f"Book_{number}")
    project.extra_options += ["stages.summarize.books_per_task=2"]
    return project


def test_a_stop_signal_leaves_the_rest_to_the_next_run(books: Project) -> None:
    books.journal.hold("read", 3)
    process = books.start("run", *books.run_options())
    wait_for(lambda: books.journal.count_waiting("read") or process.poll() is not None)
    assert process.poll() is None, books.stderr()
    process.send_signal(signal.SIGTERM)
    wait_for(lambda: "stopping: asked to stop" in books.stderr())
    time.sleep(STOP_CHECK_INTERVAL_S)  # a worker that has just asked starts further books
    books.journal.release("read")
    books.wait_for_exit(process, 4)
    record = json.loads(books.stdout())
    indexed = record["indexed"]
    assert 0 < indexed < BOOKS
    assert record["left"] == BOOKS - indexed
    assert "Traceback" not in books.stderr()
    books.journal.take("reads")
    assert books.run()["indexed"] == BOOKS - indexed
    assert len(books.journal.lines("reads")) == BOOKS - indexed


def test_after_a_kill_between_two_steps_nothing_is_lost_or_doubled(books: Project) -> None:
    """The bulk response has arrived; the ledger has not been written."""
    books.extra_options += ["stages.write.tasks=1", "opensearch.max_docs=2"]
    books.journal.hold("ledger", 1)
    books.kill_at("ledger", "run", *books.run_options(*books.held_checkpoint()))
    processed = set(books.processed_ids())
    assert processed < set(books.documents()), "a book is indexed and not in the ledger"
    record = books.run()
    assert (record["skipped"], record["indexed"]) == (len(processed), BOOKS - len(processed))
    check_whole(books)


def test_a_worker_that_dies_between_two_steps_is_started_again(books: Project) -> None:
    """Its group is in the index and not in the ledger; its tasks are repeated."""
    books.extra_options += ["opensearch.max_docs=4"]
    books.journal.hold("ledger", 1)
    process = books.start("run", *books.run_options(*books.held_checkpoint()))
    wait_for(lambda: books.journal.count_waiting("ledger") or process.poll() is not None)
    os.kill(int(books.journal.lines("wait-ledger")[0]), signal.SIGKILL)
    books.journal.release("ledger")
    books.wait_for_exit(process, 0)
    record = json.loads(books.stdout())
    assert (record["indexed"], record["failed"], record["left"]) == (BOOKS, 0, 0)
    check_whole(books)


def check_whole(books: Project) -> None:
    """Assert that each book is indexed and in the ledger once."""
    assert sorted(books.processed_ids()) == sorted(books.documents())
    assert books.verify()["good"] == BOOKS
