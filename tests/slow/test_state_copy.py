"""`raypipe state copy` to S3 and back, while a run writes, after kill -9, and a run on the copy."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from raypipe.core.s3 import S3Connection
from raypipe.ledger.checkpoint import Checkpoint
from raypipe.ledger.document_store import DocumentStore
from raypipe.state.factory import open_state
from raypipe.state.local import LocalState
from raypipe.state.store import State
from tests.integration.raypipe_command import Project, wait_for, write_book
from tests.integration.s3_server import CountingS3Server

BOOKS = 12


@pytest.fixture
def books(project: Project) -> Project:
    project.executor = "local"  # copying is the same beside any executor
    project.extra_options = ["stages.summarize.books_per_task=1"]
    for number in range(BOOKS):
        write_book(project.books, f"Book_{number:02d}")
    return project


def claimed(state: State) -> set[str]:
    """Return the books of the ledger, after checking that the state has their documents."""
    ids = set(Checkpoint(state).read_latest()["book_id"].to_pylist())
    assert ids <= set(DocumentStore(state).all_versions()["book_id"].to_pylist())
    return ids


def test_a_state_is_copied_to_s3_and_back_and_a_run_on_it_has_nothing_to_do(
    books: Project, s3: CountingS3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-secret")
    bucket = f"backups-{uuid4().hex}"
    connection = S3Connection(endpoint_url=s3.url)
    connection.client().create_bucket(Bucket=bucket)
    storage = ["storage=s3", "storage.bucket=any", f"storage.endpoint_url={s3.url}"]
    backup, restored = f"s3://{bucket}/raypipe", books.folder / "restored"
    books.extra_options += ["opensearch.max_docs=1"]  # a file for each document
    books.run()
    books.command("state", "copy", str(books.state), backup, *storage, "output=json")
    first = json.loads(books.stdout())
    assert (first["run_seq"], first["present"]) == (1, 0)
    assert "planted-secret" not in books.stderr() + books.stdout()
    write_book(books.books, "Book_new")
    books.run()
    books.command("state", "copy", str(books.state), backup, *storage, "output=json")
    second = json.loads(books.stdout())
    assert second["run_seq"] == 2
    assert second["present"] > second["copied"] > 0
    books.command("state", "copy", backup, str(restored), *storage)
    assert "copied" in books.stdout()
    assert claimed(LocalState(str(restored))) == claimed(open_state(backup, connection))
    shutil.rmtree(books.state)  # the disaster
    books.state = restored
    record = books.run()
    # The copy is the same state for its index: no adopt=true is needed, and nothing is indexed.
    assert (record["skipped"], record["indexed"], record["failed"]) == (BOOKS + 1, 0, 0)
    assert record["run_seq"] == 3
    books.command("state", "copy", backup, str(restored), *storage, code=1)
    assert "a run has written to" in books.stderr()
    assert "Traceback" not in books.stderr()


def test_a_state_is_copied_while_a_run_writes_to_it(books: Project) -> None:
    books.journal.hold("summarize", BOOKS // 2)
    process = books.start("run", *books.run_options(), log="-run")
    try:
        wait_for(lambda: books.journal.count_waiting("summarize") or process.poll() is not None)
        assert process.poll() is None
        copy = books.folder / "copy"
        books.command("state", "copy", str(books.state), str(copy))
        during = claimed(LocalState(str(copy)))
        assert len(during) < BOOKS
        claim: dict[str, Any] = json.loads((copy / "claim.json").read_text())
        assert (claim["held"], claim["owner"], claim["run_seq"]) == (False, "", 1)
    finally:
        books.journal.release("summarize")
    books.wait_for_exit(process, 0)
    books.command("state", "copy", str(books.state), str(copy))
    assert claimed(LocalState(str(copy))) == claimed(LocalState(str(books.state)))
    books.state = copy
    assert books.run()["skipped"] == BOOKS


def test_a_copy_that_is_killed_is_completed_by_the_next(books: Project) -> None:
    books.run(*["opensearch=none"])
    source = LocalState(str(books.state))
    for number in range(3_000):
        path = books.state / "cache" / f"{number % 16:x}{'0' * 63}" / f"{number:064x}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"{}")
    copy = books.folder / "copy"
    process = books.start("state", "copy", str(books.state), str(copy), log="-copy")
    wait_for(lambda: sum(1 for _ in copy.glob("cache/*/*")) > 100 or process.poll() is not None)
    process.kill()
    process.wait()
    assert not (copy / "state.json").exists()
    books.command("run", *books.run_options("opensearch=none", f"state.uri={copy}"), code=1)
    assert "not complete; run the same `raypipe state copy` again" in books.stderr()
    assert not _has_rows(copy)
    books.command("state", "copy", str(books.state), str(copy), "output=json")
    assert json.loads(books.stdout())["present"] >= 100
    names = [name for name in source.list() if name != "claim.json"]
    assert set(names) <= set(LocalState(str(copy)).list())
    books.command("state", "copy", str(books.state), str(copy))  # the refused run left no trace


def _has_rows(folder: Path) -> bool:
    return any(folder.glob("processed/*.parquet"))
