"""kill -9 while reading, summarizing, and between the bulk's answer and the ledger."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

BOOKS = 24
KILL_AT = ("read", "summarize", "ledger")


@pytest.fixture
def books(tmp_path: Path) -> Path:
    folder = tmp_path / "books"
    folder.mkdir()
    for number in range(BOOKS):
        text = " ".join(f"Sentence {i} of the book number {number} tells more." for i in range(60))
        (folder / f"Book_{number:02d}__by__Author_{number}.txt").write_text(text)
    return folder


class Command:
    """`raypipe run` over the books, with parts that note their work and wait to be killed."""

    def __init__(self, tmp_path: Path, books: Path, endpoint: str, name: str) -> None:
        self.tmp_path, self.notes = tmp_path, tmp_path / "notes"
        self.notes.mkdir(exist_ok=True)
        self.index = f"kill-{name}"
        parts = "tests.integration.kill_parts"
        self.args = [
            "storage=local",
            f"storage._target_={parts}.NotingStore",
            f"storage.path={books}",
            "storage.name=kill-test",
            "summarizer=lead",
            f"summarizer._target_={parts}.WaitingSummarizer",
            "embedder=hash",
            f"checkpoint._target_={parts}.WaitingCheckpoint",
            "opensearch=self_managed",
            f"opensearch.endpoint={endpoint}",
            f"opensearch.index={self.index}",
            f"state.uri={tmp_path / ('state-' + name)}",
            "stages.summarize.books_per_task=3",
            "stages.summarize.workers=1",
            "ray.dashboard=false",
            "output=json",
        ]

    def start(self, wait_at: str = "") -> subprocess.Popen[str]:
        root = Path(__file__).parents[2]
        env = {
            **os.environ,
            "PYTHONPATH": str(root),
            "RAYPIPE_TEST_NOTES": str(self.notes),
            "RAYPIPE_TEST_WAIT_AT": wait_at,
        }
        return subprocess.Popen(
            [sys.executable, "-m", "raypipe", "run", *self.args],
            cwd=self.tmp_path,
            env=env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self) -> dict[str, Any]:
        process = self.start()
        out, err = process.communicate(timeout=150)
        assert process.returncode == 0, err
        record: dict[str, Any] = json.loads(out)
        return record

    def kill_while(self, wait_at: str) -> None:
        process = self.start(wait_at)
        deadline = time.monotonic() + 120
        while not (self.notes / f"waiting-{wait_at}").exists():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline, "never came to wait"
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)

    def reads(self) -> list[str]:
        path = self.notes / "reads"
        return path.read_text().split("\n")[:-1] if path.exists() else []


def documents(client: Any, index: str) -> dict[str, dict[str, Any]]:
    client.indices.refresh(index=index)
    hits = client.search(index=index, size=100)["hits"]["hits"]
    passing = ("run_seq", "finished_at", "node_id")
    return {
        hit["_id"]: {key: value for key, value in hit["_source"].items() if key not in passing}
        for hit in hits
    }


def ledger(state: Path) -> list[str]:
    import pyarrow.parquet as pq

    parts = sorted((state / "processed").glob("part-*.parquet"))
    return [row for part in parts for row in pq.read_table(part)["book_id"].to_pylist()]


@pytest.fixture(scope="module")
def client(opensearch_url: str) -> Iterator[Any]:
    from opensearchpy import OpenSearch

    yield OpenSearch(opensearch_url, timeout=60)


@pytest.fixture
def clean(tmp_path: Path, books: Path, opensearch_url: str, client: Any) -> dict[str, Any]:
    command = Command(tmp_path / "clean", books, opensearch_url, "clean") if False else None
    folder = tmp_path / "clean"
    folder.mkdir()
    command = Command(folder, books, opensearch_url, f"clean-{os.getpid()}")
    command.run()
    return documents(client, command.index)


@pytest.mark.timeout(600)
def test_after_kills_the_rerun_equals_a_clean_run(
    tmp_path: Path, books: Path, opensearch_url: str, client: Any, clean: dict[str, Any]
) -> None:
    assert len(clean) == BOOKS
    for wait_at in KILL_AT:
        folder = tmp_path / wait_at
        folder.mkdir()
        command = Command(folder, books, opensearch_url, f"{wait_at}-{os.getpid()}")
        command.kill_while(wait_at)
        before = set(ledger(folder / f"state-{wait_at}-{os.getpid()}"))
        (command.notes / "reads").rename(command.notes / "reads-before")
        record = command.run()
        state = folder / f"state-{wait_at}-{os.getpid()}"
        assert client.count(index=command.index)["count"] == BOOKS
        assert documents(client, command.index) == clean
        assert sorted(ledger(state)) == sorted(clean)  # each id once
        assert record["listed"] == record["skipped"] + record["indexed"]
        assert record["skipped"] == len(before)
        assert not before & set(command.reads())
