"""Changes at the source: books are added, changed, renamed, touched, deleted and restored."""

from __future__ import annotations

import errno
import json
from typing import Any

import pytest

from raypipe.core.errors import SetupError
from tests.integration.raypipe_command import PARTS, Project, run_in_process, write_book
from tests.integration.s3_server import CountingS3Server
from tests.unit.sources.broken_folders import failing

BOOKS = 20
KEYS = [f"shelf/Tale_{number:02d}__by__Author.txt" for number in range(BOOKS)]


def text(name: str, words: str = "tells of a lamp") -> bytes:
    return " ".join(f"Sentence {i} of {name} {words} and ends." for i in range(40)).encode()


@pytest.fixture
def bucket(project: Project, s3: CountingS3Server) -> str:
    s3.create_bucket(project.index)
    for key in KEYS:
        s3.put_object(project.index, key, text(key))
    return project.index


@pytest.fixture
def args(project: Project, s3: CountingS3Server, bucket: str) -> list[str]:
    source = [
        *s3.options(bucket),
        "storage.prefix=shelf/",
        f"storage._target_={PARTS}.JournalingS3Source",
        f"+storage.journal={project.journal.folder}",
    ]
    return project.options_without_source(*source)


def run_plan(args: list[str]) -> dict[str, Any]:
    estimate: dict[str, Any] = json.loads(run_in_process("plan", args))
    return estimate


def indexed_keys(project: Project) -> list[str]:
    return sorted(document["key"] for document in project.documents().values())


def test_the_index_follows_the_source(
    project: Project, s3: CountingS3Server, bucket: str, args: list[str]
) -> None:
    assert project.run(args=args)["indexed"] == BOOKS
    project.journal.take("summaries")

    removed, renamed = KEYS[0], KEYS[1]
    s3.delete_object(bucket, removed)
    s3.put_object(bucket, "shelf/Tale_of_another_name.txt", text(renamed))
    s3.delete_object(bucket, renamed)
    for key in KEYS[2:4]:
        s3.put_object(bucket, key, text(key, "tells of a storm"))
    s3.put_object(bucket, KEYS[4], text(KEYS[4]))  # touched
    for name in ("New_1", "New_2"):
        s3.put_object(bucket, f"shelf/{name}.txt", text(name))
    now = sorted(
        [*KEYS[2:], "shelf/Tale_of_another_name.txt", "shelf/New_1.txt", "shelf/New_2.txt"]
    )

    plan = run_plan(args)
    assert {name: plan[name] for name in ("new", "renamed", "changed", "removed", "done")} == {
        "new": 2, "renamed": 1, "changed": 2, "removed": 1, "done": BOOKS - 4
    }  # fmt: skip
    assert not plan["too_many"]
    record = project.run(args=args)
    assert (record["indexed"], record["removed"], record["failed"]) == (5, 2, 0)
    assert len(project.journal.take("summaries")) == 4, (
        "two changed and two new books, not the renamed book"
    )
    assert indexed_keys(project) == now
    changed = [
        document["key"]
        for document in project.documents().values()
        if "a storm" in document["summary"]
    ]
    assert sorted(changed) == KEYS[2:4]
    assert project.verify(args=args)["good"] == len(now)
    again = project.run(args=args)
    assert (again["skipped"], again["removed"]) == (len(now), 0)

    # `index` does not restore deleted books from finished documents; the source does.
    sourceless = [arg for arg in args if not arg.startswith(("storage", "+storage"))]
    assert project.run(args=sourceless, command="index")["indexed"] == len(now)
    assert indexed_keys(project) == now
    s3.put_object(bucket, removed, text(removed))
    record = project.run(args=args)
    assert (record["indexed"], record["model_calls"]) == (1, 0)
    assert project.journal.lines("summaries") == []
    assert indexed_keys(project) == sorted([*now, removed])
    assert project.run(args=args)["skipped"] == len(now) + 1


def test_a_rollback_does_not_restore_deleted_books(
    project: Project, s3: CountingS3Server, bucket: str, args: list[str]
) -> None:
    first = project.run(args=args)["index"]
    sourceless = [arg for arg in args if not arg.startswith(("storage", "+storage"))]
    assert project.run(args=sourceless, command="index")["served"] != first
    s3.delete_object(bucket, KEYS[0])
    assert project.run(args=args)["removed"] == 1
    shared = [arg for arg in args if arg.startswith(("opensearch", "state", "output"))]
    assert json.loads(run_in_process("rollback", shared))["index"] == first
    assert indexed_keys(project) == KEYS[1:]
    report = project.verify(args=args)
    assert (report["good"], report["missing"]) == (BOOKS - 1, [])
    assert project.run(args=args)["skipped"] == BOOKS - 1


def test_nothing_is_deleted_after_a_doubtful_listing(
    project: Project, s3: CountingS3Server, bucket: str, args: list[str]
) -> None:
    for number in range(3):
        s3.put_object(bucket, f"other/Tale_{number}.txt", text(f"other {number}"))
    everything = [arg for arg in args if not arg.startswith("storage.prefix")]
    assert project.run(args=everything)["indexed"] == BOOKS + 3
    assert project.run(args=args)["removed"] == 0, "books outside the prefix are not deleted"

    for key in KEYS[:3]:
        s3.delete_object(bucket, key)
    assert run_plan(args)["too_many"]
    with pytest.raises(SetupError, match=r"3 of 20 books are gone.*allow_deletes=true") as caught:
        project.run(args=args)
    assert KEYS[0] in str(caught.value)
    with pytest.raises(SetupError, match="no books found"):
        project.run("storage.prefix=shelv/", args=args)
    with pytest.raises(SetupError, match="no books found"):
        project.run("storage.suffixes=[.md]", args=args)
    for way in ("no token", "no page", "half"):
        s3.truncate_listing = way
        with pytest.raises(SetupError):
            project.run("allow_deletes=true", args=args)
        s3.truncate_listing = ""
    assert len(indexed_keys(project)) == BOOKS + 3

    record = project.run("allow_deletes=true", args=args)
    assert (record["removed"], record["skipped"]) == (3, BOOKS - 3)
    assert len(indexed_keys(project)) == BOOKS


def test_books_in_a_folder_that_cannot_be_listed_stay_in_the_index(project: Project) -> None:
    shelf = project.books / "shelf"
    shelf.mkdir()
    for number in range(3):
        write_book(project.books, f"Book_{number}")
        write_book(shelf, f"Tale_{number}")
    first = project.run()
    with failing(shelf, errno.EACCES):
        estimate = run_plan(project.run_options())
        assert [estimate[name] for name in ("removed", "unseen", "unlisted_folders")] == [0, 3, 1]
        report = project.verify(code=3)
        assert (report["good"], len(report["unseen"]), report["removed"]) == (3, 3, [])
        record = project.run(code=3)
        assert (record["skipped"], record["removed"], record["unseen"]) == (3, 0, 3)
        # A new index without these books is not served.
        other = project.run("summarizer.words=7", code=3)
        assert (other["indexed"], other["lacking"], other["served"]) == (3, 3, first["served"])
        with pytest.raises(SetupError, match="purge=true deletes 3 books"):
            project.run("purge=true")
    assert len(project.documents()) == 6
    assert project.run()["skipped"] == 6
    assert project.verify()["good"] == 6
