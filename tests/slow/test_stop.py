"""Stopping a run on threads: a signal ends it cleanly, two at once, and the next run continues."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.integration.raypipe_command import (
    TIMEOUT_S,
    Project,
    check_balance,
    wait_for,
    write_book,
)

BOOKS = 12
CLEAN_STOP_S = 90.0
SECOND_SIGNAL_S = 30.0
"""Far less than the book is held for; an idle machine needs a tenth of both."""


@pytest.fixture
def books(project: Project) -> Project:
    project.executor = "local"
    for number in range(BOOKS):
        write_book(project.books, f"Book_{number:02d}")
    project.extra_options += ["stages.summarize.books_per_task=4", "stages.summarize.workers=1"]
    return project


@contextmanager
def held_run(project: Project, after: int) -> Iterator[subprocess.Popen[str]]:
    """Yield a run that waits while it reads a book, after it has read some others."""
    project.journal.hold("read", after)
    project.journal.take("reads")
    process = project.start("run", *project.run_options())
    wait_for(lambda: project.journal.count_waiting("read") or process.poll() is not None)
    assert process.poll() is None, project.stderr()
    yield process


def wait_for_stop_message(project: Project) -> None:
    wait_for(lambda: "stopping: asked to stop" in project.stderr())


def test_signals_stop_a_run_and_the_next_run_continues(books: Project) -> None:
    with held_run(books, 5) as run:  # in the second batch of four, two books remain
        second = books.start("run", *books.run_options(), log="-second")
        assert second.wait(TIMEOUT_S) == 1
        assert f"pid {run.pid}" in books.stderr("-second")
        assert "Traceback" not in books.stderr("-second")
        run.send_signal(signal.SIGTERM)
        wait_for_stop_message(books)
        books.journal.release("read")
        began = time.monotonic()
        books.wait_for_exit(run, 4)
        assert time.monotonic() - began < CLEAN_STOP_S
    record = json.loads(books.stdout())
    check_balance(record)
    assert len(books.journal.lines("reads")) == 6, "no new book was started"
    assert (record["status"], record["indexed"], record["left"]) == ("stopped", 6, 6)
    assert len(books.processed_ids()) == books.client().count(index=books.index)["count"] == 6
    assert json.loads(latest_record(books)) == record
    assert len(books.verify(code=4)["pending"]) == 6
    books.wait_until_processes_end()  # Ray's workers may end a moment later
    assert books.files_in_home() == []

    processed = processed_keys(books)
    with held_run(books, 2) as run:  # in the first of two batches
        os.killpg(run.pid, signal.SIGINT)  # as a terminal does on Ctrl-C
        wait_for_stop_message(books)
        books.journal.release("read")
        books.wait_for_exit(run, 4)
    record = json.loads(books.stdout())
    check_balance(record)
    assert record["left"] >= 3
    assert record["indexed"] == len(books.journal.lines("reads"))
    assert not processed & set(books.journal.lines("reads"))

    processed = processed_keys(books)
    with held_run(books, 0) as run:
        run.send_signal(signal.SIGTERM)
        books.wait_for_exit(run, 4)  # although the book that it reads never arrives
        assert "did not end within" in books.stderr()
        assert "Traceback" not in books.stderr()
        books.wait_until_processes_end()
        books.journal.release("read")
    again = json.loads(books.stdout())
    check_balance(again)
    assert (again["status"], again["indexed"]) == ("stopped", 0)
    assert (again["skipped"], again["left"]) == (len(processed), BOOKS - len(processed))

    with held_run(books, 0) as run:
        run.send_signal(signal.SIGTERM)
        wait_for_stop_message(books)
        run.send_signal(signal.SIGTERM)
        began = time.monotonic()
        books.wait_for_exit(run, 4)
        assert time.monotonic() - began < SECOND_SIGNAL_S
        books.wait_until_processes_end(killed=True)
        books.journal.release("read")
    books.journal.take("reads")
    assert books.run()["left"] == 0
    assert not processed & set(books.journal.lines("reads"))
    assert books.verify()["good"] == BOOKS
    assert len(books.processed_ids()) == len(set(books.processed_ids())) == BOOKS


def latest_record(project: Project) -> str:
    name = (project.state / "runs" / "latest").read_text()
    return (project.state / "runs" / name / "run.json").read_text()


def processed_keys(project: Project) -> set[str]:
    """Return the keys of the books that are processed according to the ledger."""
    documents, ids = project.documents(), set(project.processed_ids())
    return {document["key"] for book_id, document in documents.items() if book_id in ids}
