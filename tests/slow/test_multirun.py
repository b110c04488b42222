"""Several jobs of one command line share a state, and a run checks the memory of the machine."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.raypipe_command import Project, write_book

BOOKS = 6


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Yield a project without an index; afterwards wait for the end of its processes."""
    project = Project(tmp_path, endpoint="", executor="ray")
    for number in range(BOOKS):
        write_book(project.books, f"Book{number}")
    yield project
    project.wait_until_processes_end()


def parse_records(out: str) -> list[dict[str, object]]:
    decoder, records, rest = json.JSONDecoder(), [], out.strip()
    while rest:
        record, end = decoder.raw_decode(rest)
        records.append(record)
        rest = rest[end:].strip()
    return records


def test_jobs_of_a_multirun_share_one_state(project: Project) -> None:
    out = project.command(
        "run",
        "-m",
        *project.run_options("opensearch=none", "ray.num_cpus=2", "stages.summarize.workers=3"),
        "embedder=hash,wordllama",
        f"embedded.data={project.folder / 'data'}",
    )
    first, second = parse_records(out)
    assert (first["finished"], first["failed"], first["left"]) == (BOOKS, 0, 0)
    assert (second["finished"], second["failed"], second["left"]) == (BOOKS, 0, 0)
    # The second embedder starts from the first one's summaries: no book is read twice.
    assert sorted(project.journal.lines("reads")) == sorted(
        path.name for path in project.books.iterdir()
    )
    lines = re.findall(r"done 6 .* ETA 0s · (\d+\.\d) GB · CPU (\d+) %$", project.stderr(), re.M)
    assert len(lines) >= 2, "the last line of each job; a slow machine may log more"
    assert all(0.3 < float(memory) < 8 and int(cpu) >= 1 for memory, cpu in lines)
    left = {path.name for path in project.folder.iterdir()}
    assert left <= {
        "books",
        "journal",
        "home",
        "state",
        "data",
        "stdout",
        "stderr",
        "processing.log",
    }


def test_a_run_too_large_for_the_machine_fails_before_ray_starts(project: Project) -> None:
    project.command(
        "run",
        *project.run_options("opensearch=none", "stages.summarize.memory_mb=100000000"),
        code=1,
    )
    message = project.stderr().splitlines()[-1]
    assert re.match(
        r"raypipe: the run needs 100,00\d,\d+ MB of memory \(1 x 100000000 for", message
    )
    assert "stages.check_memory=false" in message
    assert project.journal.lines("reads") == []
