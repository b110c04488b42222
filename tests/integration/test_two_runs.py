"""Two runs at once on two states, into one OpenSearch: nothing of one run is in the other."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.integration.raypipe_command import (
    Project,
    check_balance,
    compose_config,
    wait_for,
    write_book,
)

SHELVES = {"first": [f"Pear_{n}" for n in range(5)], "second": [f"Fig_{n}" for n in range(7)]}


def shelf_options(project: Project, shelf: str, *more: str) -> list[str]:
    """Return the options of a run on a shelf, with a state and an index of its own."""
    return project.run_options(
        f"storage.path={project.folder / shelf}",
        f"storage.name={shelf}",
        f"state.uri={project.folder / f'state-{shelf}'}",
        f"opensearch.index={project.index}-{shelf}",
        *more,
    )


@pytest.fixture(autouse=True)
def two_shelves(project: Project) -> None:
    write_shelves(project)


def write_shelves(project: Project) -> None:
    """Write the books of two sources."""
    for shelf, names in SHELVES.items():
        (project.folder / shelf).mkdir()
        for name in names:
            write_book(project.folder / shelf, name)


def run_both(
    project: Project, options: Callable[..., list[str]] = shelf_options
) -> dict[str, dict[str, Any]]:
    """Run both shelves at once in two processes; return their records.

    Args:
        project: The project.
        options: Returns the options of a run on a shelf.
    """
    project.journal.hold("read", 0)
    runs = {shelf: project.start("run", *options(project, shelf), log=shelf) for shelf in SHELVES}
    try:
        wait_for(lambda: project.journal.count_waiting("read") >= 2 or _ended(runs))
        assert not _ended(runs), [project.stderr(shelf) for shelf in SHELVES]
    finally:
        project.journal.release("read")
    for shelf, process in runs.items():
        assert process.wait(120) == 0, project.stderr(shelf)
    return {shelf: json.loads(project.stdout(shelf)) for shelf in SHELVES}


def _ended(runs: dict[str, subprocess.Popen[str]]) -> bool:
    return any(process.poll() is not None for process in runs.values())


def check_apart(project: Project, records: dict[str, dict[str, Any]]) -> None:
    """Check that index, state and record of each run hold its books and no others."""
    client = project.client()
    for shelf, names in SHELVES.items():
        record, state = records[shelf], project.folder / f"state-{shelf}"
        check_balance(record)
        assert (record["indexed"], record["failed"], record["left"]) == (len(names), 0, 0)
        index = f"{project.index}-{shelf}"
        client.indices.refresh(index=index)
        hits = client.search(index=index, size=100)["hits"]["hits"]
        assert sorted(_name(hit["_source"]["key"]) for hit in hits) == sorted(names)
        ids = {hit["_source"]["book_id"] for hit in hits}
        if state.exists():
            check_state(state, ids, record["run_id"])


def check_state(state: Path, ids: set[str], run_id: str) -> None:
    """Check that a state has these books, each once, and no run but this."""
    for folder in ("processed", "documents"):
        tables = [pq.read_table(part) for part in sorted((state / folder).rglob("*.parquet"))]
        found = [book_id for table in tables for book_id in table["book_id"].to_pylist()]
        assert (len(found), set(found)) == (len(ids), ids), folder
    assert [path.parent.name for path in (state / "runs").glob("*/run.json")] == [run_id]


def _name(key: str) -> str:
    return key.rpartition("/")[2].partition("__")[0]


def check_logs(project: Project) -> None:
    """Check that each run has a log of its own in the shared working directory."""
    texts = [(project.folder / name).read_text() for name in ("processing.log", "processing-2.log")]
    results = [[line for line in text.splitlines() if " = skipped " in line] for text in texts]
    assert sorted(len(lines) for lines in results) == [1, 1], texts
    counts = sorted(line.partition("listed ")[2][0] for lines in results for line in lines)
    assert counts == ["5", "7"]
    for text in texts:
        named = [shelf for shelf in SHELVES if f"{project.index}-{shelf}" in text]
        assert len(named) == 1, text


def test_two_processes_at_once(project: Project) -> None:
    check_apart(project, run_both(project))
    check_logs(project)


def test_two_states_and_one_index_name(project: Project) -> None:
    """One run makes the index; the other stops with one line, before it reads a book."""
    runs = {
        shelf: project.start(
            "run", *shelf_options(project, shelf), f"opensearch.index={project.index}", log=shelf
        )
        for shelf in SHELVES
    }
    codes = {shelf: process.wait(120) for shelf, process in runs.items()}
    assert sorted(codes.values()) == [0, 1], [project.stderr(shelf) for shelf in SHELVES]
    winner, loser = sorted(codes, key=lambda shelf: codes[shelf])
    assert len(project.documents()) == len(SHELVES[winner])
    error = project.stderr(loser).splitlines()[-1]
    assert "belongs to the state" in error
    assert "another opensearch.index" in error
    assert {_name(key) for key in project.journal.lines("reads")} == set(SHELVES[winner])


def test_two_threads_of_a_process(project: Project) -> None:
    project.journal.hold("summarize", 0)
    records = run_in_threads(project)
    check_apart(project, records)


def run_in_threads(project: Project, *more: str) -> dict[str, dict[str, Any]]:
    """Run both shelves at once in two threads of this process."""
    from dataclasses import asdict

    from raypipe.cli.job_factory import build_listing_job
    from raypipe.config.build import read_options
    from raypipe.ledger.writer_lock import WriterLock
    from raypipe.run.runner import run

    jobs = {}
    for shelf in SHELVES:
        cfg = compose_config("run", shelf_options(project, shelf, *more))
        jobs[shelf] = build_listing_job(cfg, read_options(cfg))
    records: dict[str, dict[str, Any]] = {}

    def run_shelf(shelf: str) -> None:
        job = jobs[shelf]
        with WriterLock.acquire(job.ledger.state) as lock:
            records[shelf] = asdict(run(job, lock))

    threads = [threading.Thread(target=run_shelf, args=[shelf]) for shelf in SHELVES]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(project.journal.lines("at-summarize")) >= 2)
    project.journal.release("summarize")
    for thread in threads:
        thread.join(120)
    assert set(records) == set(SHELVES)
    return records
