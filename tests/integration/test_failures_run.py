"""A book that fails does not affect other books, and `run` and `retry` try it again."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path

import pytest

from raypipe.core.errors import SetupError
from tests.integration.instrumented_parts import (
    ENDLESS_FLAG,
    ZERO_VECTOR,
)
from tests.integration.raypipe_command import PARTS, Project, wait_for, write_book
from tests.integration.s3_server import CountingS3Server

GOOD = [f"good_{number}" for number in range(6)]
MAX_BYTES = 50_000
PERMANENT = {  # failure kinds by key
    "empty.txt": "empty",
    "a_pdf.txt": "damaged",
    "large.txt": "too_large",
    "noise.txt": "undecodable",
    "short.txt": "too_short",
    f"{ZERO_VECTOR}.txt": "bad_vector",
    f"{ENDLESS_FLAG}.txt": "mapper_parsing",
}
TEMPORARY = {"private.txt": "denied", "changing.txt": "changed"}


def text_of(name: str, sentences: int = 40) -> bytes:
    return " ".join(f"Sentence {i} of the {name} book goes on." for i in range(sentences)).encode()


def put_books(s3: CountingS3Server, bucket: str) -> None:
    s3.create_bucket(bucket)
    bodies = {f"{name}.txt": text_of(name) for name in GOOD}
    bodies |= {key: text_of(key) for key in (*PERMANENT, *TEMPORARY)}
    bodies["empty.txt"] = b" \r\n\t "
    bodies["a_pdf.txt"] = b"%PDF-1.7\n" + text_of("pdf")
    bodies["large.txt"] = text_of("large", 2_000)
    bodies["noise.txt"] = b"\xff\xfe" + b"\x00\xd8" * 400  # the byte order mark of UTF-16
    bodies["short.txt"] = b"Only these few words."
    for key in (ZERO_VECTOR, ENDLESS_FLAG):
        bodies[f"{key}.txt"] = f"Title: {key}\n\n".encode() + text_of(key)
    for key, body in bodies.items():
        s3.put_object(bucket, key, body, acl="private" if key == "private.txt" else "public-read")
    s3.replace_on_read[bucket, "changing.txt"] = text_of("changed")


def run_options(project: Project, s3: CountingS3Server, bucket: str) -> list[str]:
    return project.options_without_source(
        *s3.options(bucket),
        f"storage._target_={PARTS}.JournalingS3Source",
        f"+storage.journal={project.journal.folder}",
        f"embedder._target_={PARTS}.ZeroVectorEmbedder",
        f"text.max_bytes={MAX_BYTES}",
        "stages.summarize.books_per_task=4",
        "stages.summarize.workers=1",
    )


def make_lucene_reject_long_flags(project: Project, args: list[str]) -> None:
    """Create an empty index, then remove the limit that keeps endless terms from Lucene."""
    record = project.run("limit=0", args=args)
    assert (record["left"], record["indexed"]) == (record["listed"], 0)
    flags = {"type": "keyword", "ignore_above": 2_000_000_000}
    project.client().indices.put_mapping(index=project.index, body={"properties": {"flags": flags}})


def test_bad_books_do_not_affect_others(project: Project, s3: CountingS3Server) -> None:
    bucket = project.index
    put_books(s3, bucket)
    args = run_options(project, s3, bucket)
    make_lucene_reject_long_flags(project, args)

    first = project.run(code=3, args=args)
    failures = project.failures(first["run_seq"])
    assert {key: row["kind"] for key, row in failures.items()} == PERMANENT | TEMPORARY
    assert {key for key, row in failures.items() if row["retryable"]} == set(TEMPORARY)
    assert {row["attempts"] for row in failures.values()} == {1}
    assert all(key in row["message"] for key, row in failures.items())
    assert first["indexed"] == len(GOOD)
    keys = {document["key"] for document in project.documents().values()}
    assert keys == {f"{name}.txt" for name in GOOD}
    report = project.verify(code=3, args=args)
    assert sorted(report["failed"]) == sorted(failures)

    project.journal.take("reads")
    second = project.run(code=3, args=args)
    assert set(project.journal.take("reads")) == set(TEMPORARY)
    assert second["indexed"] == 1  # the changed book
    assert second["known_failures"] == len(PERMANENT)
    assert second["skipped"] == len(PERMANENT) + len(GOOD)
    assert project.failures(second["run_seq"])["private.txt"]["attempts"] == 2

    third = project.run(code=3, args=args)
    assert project.failures(third["run_seq"])["private.txt"]["attempts"] == 3
    gets = len(s3.gets)
    fourth = project.run(args=args)  # private.txt was tried three times: it counts as permanent now
    assert fourth["known_failures"] == len(PERMANENT) + 1
    assert (fourth["failed"], fourth["left"], len(s3.gets)) == (0, 0, gets)

    s3.put_object(bucket, "short.txt", text_of("longer"))
    s3.put_object(bucket, "private.txt", text_of("public"))
    assert project.run(args=args)["indexed"] == 2  # a new ETag is a new version


@pytest.fixture
def empty_books(project: Project) -> Project:
    for number in range(30):
        (project.books / f"{number:02d}.txt").write_text(" ")
    project.extra_options += ["stages.summarize.books_per_task=1", "stages.summarize.workers=1"]
    return project


def test_a_run_stops_when_the_first_books_all_fail_alike(
    empty_books: Project, caplog: pytest.LogCaptureFixture
) -> None:
    journal = empty_books.journal
    journal.hold("read", 12)
    caplog.set_level("INFO", "raypipe")
    message = "the first 5 books all failed alike (empty)"

    def release_after_message() -> None:
        wait_for(lambda: message in caplog.text)
        journal.release("read")

    thread = threading.Thread(target=release_after_message)
    thread.start()
    record = empty_books.run("breaker.first=5", code=4)
    thread.join()
    assert record["status"] == "stopped"
    assert 5 <= record["failed"] < 30
    assert record["left"] == 30 - record["failed"]
    assert message in caplog.records[-1].message
    assert empty_books.verify(code=3)["pending"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_without_read_permission_does_not_affect_others(project: Project) -> None:
    write_book(project.books, "good")
    write_book(project.books, "secret").chmod(0)
    record = project.run(code=3)
    [failure] = project.failures(record["run_seq"]).values()
    assert (failure["kind"], failure["retryable"], record["indexed"]) == ("denied", True, 1)


def test_a_name_that_is_not_utf8_is_indexed_escaped(project: Project) -> None:
    write_book(project.books, "good")
    Path(os.fsdecode(bytes(project.books) + b"/caf\xe9.txt")).write_bytes(text_of("coffee"))
    write_book(project.books, "not\\xe9")
    assert project.run()["indexed"] == 3
    assert r"caf\xe9.txt" in {document["key"] for document in project.documents().values()}


def test_a_full_disk_gives_one_error_line_and_loses_no_book(
    project: Project, capfd: pytest.CaptureFixture[str]
) -> None:
    for number in range(4):
        write_book(project.books, f"Book_{number}")
    full = f"checkpoint._target_={PARTS}.FullDiskCheckpointSettings"
    with pytest.raises(SetupError) as raised:
        project.run(full)
    assert re.fullmatch(
        r"cannot access the state at .*/processed/part-\S+: the disk is full; "
        r"free some space, or set .*",
        str(raised.value),
    )
    assert "Traceback" not in capfd.readouterr().err
    project.journal.take("reads")
    assert project.run()["indexed"] == 4
    assert len(project.journal.lines("reads")) < 4, "finished books are indexed and not read again"
