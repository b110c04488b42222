"""Runs of a folder with odd entries: each fails alone, and no book is deleted unseen."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from raypipe.cli.commands.plan import _format_estimate
from raypipe.cli.report import format_report
from raypipe.core.book import Book
from raypipe.ledger.run_records import RunRecord
from raypipe.lifecycle.deleted_books import DeletionLimit
from raypipe.run.estimate import estimate_run
from raypipe.run.job import Job
from raypipe.sources.local import LocalBookSource
from tests.unit.run.local_jobs import local_job, run_job, write_books
from tests.unit.sources.broken_folders import failing

BOOKS = 4


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """Return a job over two books in the folder and two in a folder below it."""
    write_books(tmp_path / "books", BOOKS)
    shelf = tmp_path / "books" / "shelf"
    shelf.mkdir()
    for path in sorted((tmp_path / "books").glob("*.txt"))[2:]:
        path.rename(shelf / path.name)
    return replace(local_job(tmp_path), deletion_limit=DeletionLimit(allow_all=True))


def numbers(record: RunRecord) -> Mapping[str, int | None]:
    names = ("listed", "skipped", "finished", "failed", "removed", "unlisted_folders", "unseen")
    return {name: getattr(record, name) for name in (*names, "exit_code") if getattr(record, name)}


@pytest.mark.parametrize("after", [None, 0, 1])
def test_books_in_a_folder_that_cannot_be_listed_are_kept(
    tmp_path: Path, job: Job, after: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    assert numbers(run_job(job)) == {"listed": BOOKS, "finished": BOOKS}
    seen = 2 + (after or 0)
    with failing(tmp_path / "books" / "shelf", errno.EIO, after):
        caplog.clear()
        estimate = estimate_run(job)
        assert numbers(run_job(job)) == {
            "listed": seen,
            "skipped": seen,
            "unlisted_folders": 1,
            "unseen": BOOKS - seen,
            "exit_code": 3,
        }
    plan = (estimate.removed, estimate.unlisted_folders, estimate.unseen, estimate.done)
    assert plan == (0, 1, BOOKS - seen, seen)
    assert f"'shelf/' ({os.strerror(errno.EIO)}; check the disk)" in caplog.text
    assert job.ledger.tombstones.renames() == {}
    assert numbers(run_job(job)) == {"listed": BOOKS, "skipped": BOOKS}


def test_plan_and_summary_count_unseen_books(tmp_path: Path, job: Job) -> None:
    run_job(job)
    with failing(tmp_path / "books" / "shelf", errno.EACCES):
        plan = _format_estimate(estimate_run(job), job.limits.quota)
        summary = format_report(run_job(job), None, job.ledger.failures)
    line = "finished books in folders that cannot be listed (1);"
    assert f"\nunseen 2: {line} the run keeps them\n" in plan
    assert f"\nunseen  2 {line} they are kept\n" in summary


def test_books_beside_a_folder_that_cannot_be_listed_are_deleted(tmp_path: Path, job: Job) -> None:
    run_job(job)
    (tmp_path / "books" / "Book_0__by__A_Writer.txt").unlink()
    with failing(tmp_path / "books" / "shelf", errno.EACCES):
        record = run_job(job)
    assert (record.removed, record.unseen) == (1, 2)


def test_a_folder_without_known_books_that_cannot_be_listed_fails_no_run(
    tmp_path: Path, job: Job
) -> None:
    (tmp_path / "books" / "lost+found").mkdir()
    with failing(tmp_path / "books" / "lost+found", errno.EACCES):
        record = run_job(job)
    assert (record.finished, record.unlisted_folders, record.exit_code) == (BOOKS, 1, 0)


def test_books_behind_a_link_are_kept_while_it_is_not_followed(tmp_path: Path, job: Job) -> None:
    (tmp_path / "books" / "shelf").rename(tmp_path / "elsewhere")
    (tmp_path / "books" / "shelf").symlink_to(tmp_path / "elsewhere")
    following = replace(job, source=LocalBookSource(str(tmp_path / "books"), follow_links=True))
    assert run_job(following).finished == BOOKS
    assert numbers(run_job(job))["unseen"] == 2
    (tmp_path / "elsewhere").rename(tmp_path / "unmounted")
    assert numbers(run_job(following))["unseen"] == 2, "the link leads nowhere for a while"
    (tmp_path / "unmounted").rename(tmp_path / "elsewhere")
    assert numbers(run_job(following)) == {"listed": BOOKS, "skipped": BOOKS}


def test_odd_entries_fail_alone(tmp_path: Path, job: Job) -> None:
    books = tmp_path / "books"
    os.mkfifo(books / "pipe.txt")
    (books / "loop.txt").symlink_to("loop.txt")
    (books / "outside.txt").symlink_to("/etc/hostname")
    for name in (b"\xe9.txt", b"line\nbreak.txt"):
        (books / os.fsdecode(name)).write_text("An odd name. " * 60)
    record = run_job(job)
    assert (record.listed, record.finished, record.failed) == (BOOKS + 5, BOOKS + 2, 3)
    rows = job.ledger.failures.read_run(record.run_seq).to_pylist()
    assert {row["key"]: (row["stage"], row["kind"]) for row in rows} == {
        "pipe.txt": ("read", "not_a_file"),
        "loop.txt": ("read", "link"),
        "outside.txt": ("read", "link"),
    }
    assert run_job(job).known_failures == 3


class VanishingSource(LocalBookSource):
    """Moves a book away before it is read."""

    def read(self, book: Book) -> bytes:
        if "Book_0" in book.key:
            (Path(self.path) / book.key).rename(Path(self.path).parent / "away")
        return super().read(book)


def test_a_book_that_vanishes_and_comes_back_is_processed(tmp_path: Path, job: Job) -> None:
    source = VanishingSource(str(tmp_path / "books"))
    record = run_job(replace(job, source=source))
    assert (record.finished, record.failed) == (BOOKS - 1, 1)
    (tmp_path / "away").rename(tmp_path / "books" / "Book_0__by__A_Writer.txt")
    assert numbers(run_job(job)) == {"listed": BOOKS, "skipped": BOOKS - 1, "finished": 1}


def test_what_the_listing_does_not_take_is_counted_everywhere(
    tmp_path: Path, job: Job, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("cover.jpg", "back.JPG", "shelf/._a.txt"):
        (tmp_path / "books" / name).write_text("no book")
    line = f"listed {BOOKS}, not taken 3: 2 .jpg, 1 AppleDouble"
    counts = {".jpg": 2, "AppleDouble": 1}
    assert estimate_run(job).not_taken == counts
    with caplog.at_level(logging.INFO):
        record = run_job(job)
    assert record.not_taken == counts
    assert (record.listed, record.finished) == (BOOKS, BOOKS)
    assert line in caplog.messages
    assert line in format_report(record, None, job.ledger.failures).splitlines()
