"""Runs over books in every format: one document each, with its failures, and nothing twice."""

from __future__ import annotations

import bz2
import gzip
import io
import zipfile
from dataclasses import replace
from pathlib import Path

import yaml

from raypipe.config.paths import conf_dir
from raypipe.lifecycle.deleted_books import DeletionLimit
from raypipe.run.job import Job
from raypipe.run.processing import Processing
from raypipe.sources.local import LocalBookSource
from raypipe.text import TextCleaner
from raypipe.text.child_tasks import make_format
from tests.unit.run.local_jobs import local_job, run_job
from tests.unit.text.formats.books import PARAGRAPH, make_docx, make_epub, make_zip, paragraph, run

TEXT = "\n\n".join([PARAGRAPH] * 20).encode()
FILES = {
    "plain.TXT": TEXT,
    "packed.txt.gz": gzip.compress(TEXT + b"\n\nPacked."),
    "page.html": f"<!DOCTYPE html><html><body>{f'<p>{PARAGRAPH}</p>' * 20}Page.".encode(),
    "book.epub": make_epub(),
    "paper.docx": make_docx(*([paragraph(run(PARAGRAPH))] * 20), paragraph(run("Paper."))),
    "notes.md": b"# Notes\n\n" + TEXT,
    "shelf.zip": make_zip({"a.txt": TEXT + b"\n\nA.", "b.txt": TEXT + b"\n\nB.", "c.jpg": b"x"}),
    "cut.txt.bz2": bz2.compress(TEXT)[:50],
    "cut.epub": make_epub()[:-300],
    "error.htm": b"<html><title>404 Not Found</title><body>Not found",
    "data.csv.gz": gzip.compress(b"1,2,3"),
    "empty.html": b"<html><body><img src='scan.png'></body></html>",
}


def make_job(tmp_path: Path) -> Job:
    settings = yaml.safe_load((conf_dir() / "text" / "default.yaml").read_text(encoding="utf-8"))
    formats = {
        name: make_format(":".join(part["_target_"].rsplit(".", 1)), {})
        for name, part in settings["formats"].items()
    }
    folder = tmp_path / "books"
    folder.mkdir(exist_ok=True)
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    job = local_job(tmp_path)
    processing = job.processing
    cleaner = TextCleaner(formats=formats)
    return replace(
        job,
        source=LocalBookSource(str(folder)),
        processing=Processing(cleaner, processing.summarizer, processing.embedder),
        deletion_limit=DeletionLimit(allow_all=True),
    )


def test_a_run_reads_every_format_once(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    record = run_job(job)
    failures = {row["key"]: row["kind"] for row in job.ledger.failures.read_latest().to_pylist()}
    assert failures == {
        "cut.txt.bz2": "damaged",
        "cut.epub": "damaged",
        "error.htm": "error_page",
        "empty.html": "no_text",
    }
    assert (record.listed, record.finished) == (12, 8)
    assert record.not_taken == {".csv.gz": 1, ".jpg": 1}
    documents = job.ledger.documents.read_newest_books({job.processing.recipe.document})
    keys = documents["key"].to_pylist()
    assert {"shelf.zip!a.txt", "shelf.zip!b.txt", "book.epub", "plain.TXT"} <= set(keys)
    again = run_job(job)
    assert (again.skipped, again.finished, again.known_failures) == (12, 0, 4)


def test_a_member_that_leaves_its_archive_is_deleted_and_a_damaged_archive_deletes_nothing(
    tmp_path: Path,
) -> None:
    job = make_job(tmp_path)
    run_job(job)
    shelf = tmp_path / "books" / "shelf.zip"
    whole = shelf.read_bytes()
    shelf.write_bytes(whole[:-30])
    record = run_job(job)
    assert (record.removed, record.unseen, record.failed) == (0, 2, 1)
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        shelf.write_bytes(make_zip({"b.txt": archive.read("b.txt")}))
    record = run_job(job)
    assert (record.removed, record.unseen, record.finished) == (1, 0, 1)
