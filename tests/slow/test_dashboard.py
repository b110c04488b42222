"""Ray's dashboard shows the stages of a run by name, with their progress."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.raypipe_command import Project, wait_for, write_book

BOOKS = 24
WORKERS = 2
TASKS = 8
"""Groups of three books, four for each worker."""
DONE_BEFORE = 17
"""Two books in each group and one more: whichever books are first, one group is whole."""
STAGE = "MapBatches(ProcessBooks)"


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    project = Project(tmp_path, "no index", executor="ray")
    yield project
    project.kill_processes()


def get_json(url: str, token: str) -> Any:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def operators(url: str, token: str) -> dict[str, dict[str, Any]]:
    """Return the operators of the only dataset of the only job, as the dashboard's page does."""
    (job,) = {job["job_id"] for job in get_json(f"{url}/api/jobs/", token) if job["job_id"]}
    datasets = get_json(f"{url}/api/data/datasets/{job}", token)["datasets"]
    return {operator["name"]: operator for dataset in datasets for operator in dataset["operators"]}


def test_the_dashboard_shows_the_stages_and_their_progress(project: Project) -> None:
    for number in range(BOOKS):
        write_book(project.books, f"Book_{number:02d}")
    project.journal.hold("summarize", DONE_BEFORE)
    options = [
        "opensearch=none",
        "ray.dashboard=true",
        "stages.summarize.books_per_task=1",
        f"stages.summarize.workers={WORKERS}",
    ]
    process = project.start("run", *project.run_options(*options))
    wait_for(lambda: project.journal.count_waiting("summarize") or process.poll() is not None)
    assert process.poll() is None, project.stderr()
    url, file = re.findall(r"dashboard is at (\S+) .* token in (\S+)", project.stderr())[0]
    token = Path(file).read_text()

    shown: dict[str, dict[str, Any]] = {}

    def is_half_way() -> bool:
        shown.update(operators(url, token))
        stage = shown.get(STAGE, {})
        return stage.get("total") == TASKS and stage["progress"] >= 1

    wait_for(is_half_way)  # the dashboard gets the numbers with a delay
    assert shown[STAGE]["state"] == "RUNNING"
    assert shown[STAGE]["progress"] * BOOKS <= DONE_BEFORE * TASKS
    project.journal.release("summarize")
    project.wait_for_exit(process, 0)
