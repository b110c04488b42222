"""What every executor must do: each scenario runs on threads of this process and on Ray."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from raypipe.core import own_parts
from raypipe.core.errors import SetupError
from tests.integration.instrumented_parts import ZERO_VECTOR
from tests.integration.raypipe_command import (
    PARTS,
    Project,
    compose_config,
    write_book,
)
from tests.integration.test_settings_run import OWN_PARTS
from tests.unit.opensearch.forwarding import Answer, Forwarding, serving

BOOKS = 8


@pytest.fixture(params=["local", "ray"])
def executor(request: pytest.FixtureRequest) -> str:
    """Return the name of an executor; Ray is the warm Ray of this session."""
    if request.param == "ray":
        request.getfixturevalue("shared_ray")
    return str(request.param)


@pytest.fixture
def books(project: Project, executor: str) -> Project:
    """Return a project with books and batches of two."""
    project.executor = executor
    for number in range(BOOKS):
        write_book(project.books, f"Book_{number}")
    project.extra_options += ["stages.summarize.books_per_task=2"]
    return project


def take_reads(books: Project) -> list[str]:
    return [key.partition("__")[0] for key in books.journal.take("reads")]


def test_success_and_nothing_to_do_afterwards(books: Project) -> None:
    record = books.run()
    assert (record["indexed"], record["failed"], record["left"]) == (BOOKS, 0, 0)
    assert len(books.documents()) == len(books.processed_ids()) == BOOKS
    assert sorted(take_reads(books)) == [f"Book_{number}" for number in range(BOOKS)]
    assert books.verify()["good"] == BOOKS
    assert books.run()["skipped"] == BOOKS
    assert take_reads(books) == []


def test_bad_books_fail_alone(books: Project) -> None:
    (books.books / "empty.txt").write_text(" ")
    (books.books / "large.txt").write_text("A large book goes on. " * 4_000)
    os.mkfifo(books.books / "pipe.txt")
    (books.books / "loop.txt").symlink_to("loop.txt")
    books.journal.record("vanishing", write_book(books.books, "vanishing").name)
    books.journal.record("unreadable", write_book(books.books, "unreadable").name)
    zero = write_book(books.books, "zero")
    zero.write_text(f"Title: {ZERO_VECTOR}\n\n{zero.read_text()}")
    embedder = f"embedder._target_={PARTS}.ZeroVectorEmbedder"
    record = books.run(embedder, "text.max_bytes=50000", code=3)
    assert (record["indexed"], record["failed"]) == (BOOKS, 7)
    kinds = {row["kind"]: row["retryable"] for row in books.failures(record["run_seq"]).values()}
    assert kinds == {
        "empty": False,
        "too_large": False,
        "not_a_file": False,
        "link": False,
        "gone": True,
        "read": True,
        "bad_vector": False,
    }


def test_a_book_that_takes_too_long_fails_alone(books: Project) -> None:
    (books.books / "slow.txt").write_text("The sea is calm. The lamp is lit.\n\n" * 100_000)
    record = books.run("text.deadline_s=0.1", code=3)
    assert (record["indexed"], record["failed"]) == (BOOKS, 1)
    [failure] = books.failures(record["run_seq"]).values()
    assert (failure["kind"], failure["retryable"]) == ("too_slow", True)


def test_failed_books_come_back_by_retry(books: Project) -> None:
    unreadable = [f"Book_{number}__by__Author_Book_{number}.txt" for number in (2, 5)]
    for key in unreadable:
        books.journal.record("unreadable", key)
    assert books.run("max_attempts=1", code=3)["failed"] == 2
    assert books.run("max_attempts=1")["known_failures"] == 2
    books.journal.take("unreadable")
    take_reads(books)
    record = books.run(command="retry")
    assert (record["indexed"], sorted(take_reads(books))) == (2, ["Book_2", "Book_5"])
    assert books.verify()["good"] == BOOKS


def test_a_breaker_stops_the_run(books: Project) -> None:
    for number in range(40):
        (books.books / f"A_{number:02d}.txt").write_text(" ")
    books.extra_options += ["stages.summarize.books_per_task=1", "breaker.first=5"]
    record = books.run(code=4)
    assert record["reason"].startswith("the first 5 books all failed alike (empty)")
    assert record["failed"] >= 5
    assert record["left"] > 0


def test_finished_books_of_many_batches_share_a_bulk_request(books: Project) -> None:
    with bulk_requests(books) as requests:
        books.run("stages.summarize.books_per_task=1", "opensearch.flush_s=60")
    assert len(requests) == 1, "and the last group does not wait for its time"
    parts = [path.parent.name for path in books.state.rglob("part-*.parquet")]
    assert parts.count("processed") == 1
    assert len(parts) == 2


def test_max_docs_limits_a_bulk_request(books: Project) -> None:
    with bulk_requests(books) as requests:
        books.run("stages.summarize.books_per_task=1", "opensearch.max_docs=3")
    assert len(requests) == 3


@contextmanager
def bulk_requests(books: Project) -> Iterator[list[int]]:
    """Collect the bytes of each bulk request that the project sends in the block."""
    sizes: list[int] = []

    class Counting(Forwarding):
        def respond(self, body: bytes) -> Answer | None:
            if self.path.partition("?")[0].endswith("/_bulk"):
                sizes.append(len(body))
            return self.forward(body)

    node = books.endpoint
    with serving(Counting, node) as port:
        books.endpoint = f"http://127.0.0.1:{port}"
        try:
            yield sizes
        finally:
            books.endpoint = node


def test_removed_books_leave_the_index(books: Project) -> None:
    books.run()
    for number in (1, 2):
        (books.books / f"Book_{number}__by__Author_Book_{number}.txt").unlink()
    with pytest.raises(SetupError, match="2 of 8 books are gone"):
        books.run()
    record = books.run("allow_deletes=true")
    assert (record["removed"], record["skipped"]) == (2, BOOKS - 2)
    assert len(books.documents()) == BOOKS - 2


def test_another_recipe_is_built_beside_and_then_served(books: Project) -> None:
    first = books.run()
    take_reads(books)
    second = books.run("embedder.dimension=32", "replace=true")
    assert second["served"] == second["index"] != first["index"]
    assert (second["indexed"], take_reads(books)) == (BOOKS, [])
    assert {len(each["summary_vector"]) for each in books.documents().values()} == {32}


def test_finished_documents_are_indexed_without_reading_a_book(books: Project) -> None:
    assert books.run("opensearch=none")["finished"] == BOOKS
    take_reads(books)
    assert books.run("limit=3", command="index")["indexed"] == 3
    assert books.run()["indexed"] == BOOKS - 3
    assert take_reads(books) == []


def test_a_run_works_in_a_thread_and_keeps_the_signal_handlers(books: Project) -> None:
    """As in a notebook or a server, which call the runner and have handlers of their own."""
    handler = signal.getsignal(signal.SIGINT)
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(run_by_library(books)))
    thread.start()
    thread.join(300)
    assert results == [BOOKS]
    assert signal.getsignal(signal.SIGINT) is handler


def run_by_library(books: Project) -> int:
    from raypipe.cli.job_factory import build_listing_job
    from raypipe.config.build import read_options
    from raypipe.ledger.writer_lock import WriterLock
    from raypipe.run.runner import run

    cfg = compose_config("run", books.run_options())
    job = build_listing_job(cfg, read_options(cfg))
    with WriterLock.acquire(job.ledger.state) as lock:
        return run(job, lock).indexed


def test_an_own_part_needs_nothing_of_a_ray_session_that_runs_already(
    books: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its workers do not see the folder of the module."""
    folder = books.folder / "parts"
    folder.mkdir()
    (folder / "own_helper_of_session.py").write_text("WORDS = 12\n")
    (folder / "own_part_of_session.py").write_text(
        f"import own_helper_of_session\n{OWN_PARTS}\n    def check(self) -> None:\n"
        "        assert own_helper_of_session.WORDS == 12\n"
    )
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(own_parts, "_allowed", [])
    for name in ("own_helper_of_session", "own_part_of_session"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    own_parts.allow_imports(folder)
    own = "summarizer._target_=own_part_of_session.OwnSummarizer"
    args = [arg for arg in books.run_options(own) if "summarizer.journal" not in arg]
    assert books.run(args=args)["indexed"] == BOOKS


def test_an_error_that_fails_every_book_is_one_line(books: Project) -> None:
    with pytest.raises(SetupError) as raised:
        books.run(f"checkpoint._target_={PARTS}.FullDiskCheckpointSettings")
    assert "the disk is full" in str(raised.value)
    assert "\n" not in str(raised.value)
    take_reads(books)
    assert books.run()["indexed"] == BOOKS
    assert len(take_reads(books)) < BOOKS, "finished books are not read again"
