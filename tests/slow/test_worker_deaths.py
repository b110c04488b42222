"""Workers of Ray that die: the book that kills them fails alone, and the workers are replaced."""

from __future__ import annotations

import pytest

from tests.integration.instrumented_parts import CRASHES_AT_START, KILLS_WORKER
from tests.integration.raypipe_command import PARTS, Project, write_book

pytestmark = pytest.mark.usefixtures("shared_ray")

GOOD = [f"good_{number}" for number in range(6)]
SENTENCES = " ".join(f"Sentence {number} of the book goes on." for number in range(40))


def test_a_book_that_kills_its_worker_fails_alone(project: Project) -> None:
    for name in (KILLS_WORKER, *GOOD):
        (project.books / f"{name}.txt").write_text(f"Title: {name}\n\n{name}. {SENTENCES}")
    project.extra_options += ["stages.summarize.books_per_task=4"]
    project.journal.record("deadly", "yes")
    first = project.run(code=3)
    [failure] = project.failures(first["run_seq"]).values()
    assert (failure["kind"], failure["retryable"]) == ("killed_worker", True)
    assert f"{KILLS_WORKER}.txt" in failure["message"]
    assert first["indexed"] == len(GOOD)
    assert len(project.journal.lines("deaths")) == 2
    project.journal.take("deadly")
    assert project.run()["indexed"] == 1


def test_workers_that_crash_at_start_are_replaced(project: Project) -> None:
    for number in range(3):
        write_book(project.books, f"Book_{number}")
    record = project.run(f"summarizer._target_={PARTS}.CrashingAtStartSummarizer")
    assert (record["indexed"], record["failed"]) == (3, 0)
    assert len(project.journal.lines("starts")) == CRASHES_AT_START
