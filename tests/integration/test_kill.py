"""kill -9 while reading, while summarizing, and between the bulk's answer and the ledger."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.integration.raypipe_command import PARTS, Project, shared_ray, wait_for, write_book

__all__ = ["shared_ray"]

pytestmark = pytest.mark.integration

BOOKS = 12
KILL_AT = {"read": 5, "summarize": 4, "ledger": 1}
"""Where, and how many come by there before the next one waits and is killed."""


def project_at(home: Path, endpoint: str, index: str) -> Project:
    made = Project(home, endpoint)
    made.index = f"{made.index}-{index}"
    made.extra_options = [
        f"checkpoint._target_={PARTS}.HeldCheckpointSettings",
        f"+checkpoint.journal={made.journal.folder}",
        "stages.summarize.books_per_task=3",
        "stages.summarize.workers=1",
        "stages.write.tasks=1",
    ]
    for number in range(BOOKS):
        write_book(made.books, f"Book_{number:02d}")
    return made


def test_after_kills_the_rerun_equals_a_clean_run(
    tmp_path: Path, opensearch_url: str, shared_ray: None
) -> None:
    clean = project_at(tmp_path / "clean", opensearch_url, "clean")
    clean.run()
    expected = clean.documents()
    assert len(expected) == BOOKS
    for place, after in KILL_AT.items():
        killed = project_at(tmp_path / place, opensearch_url, place)
        killed.journal.hold(place, after)
        kill_while_it_waits(killed, place)
        before, there = set(killed.processed_ids()), set(killed.documents())
        assert before <= there
        assert (before != there) == (place == "ledger"), "the bulk has answered, and only there"
        killed.journal.take("reads")
        record = killed.run()
        read = {key.partition("__")[0] for key in killed.journal.lines("reads")}
        processed = {expected[one]["title"].replace(" ", "_") for one in before}
        assert killed.client().count(index=killed.index)["count"] == BOOKS
        assert killed.documents() == expected
        assert sorted(killed.processed_ids()) == sorted(expected), "each id once"
        assert record["skipped"] == len(before) < BOOKS
        assert record["indexed"] == BOOKS - len(before)
        assert not processed & read, "a processed book was read again"
        killed.clean_up()
    clean.clean_up()


def kill_while_it_waits(project: Project, place: str) -> None:
    process = project.start("run", *project.run_options())
    wait_for(lambda: project.journal.count_waiting(place) or process.poll() is not None)
    assert process.poll() is None, project.stderr()
    process.send_signal(signal.SIGKILL)
    process.wait()
    project.wait_until_processes_end(killed=True)  # no worker goes on after its driver
    project.journal.release(place)
