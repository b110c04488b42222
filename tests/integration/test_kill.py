"""kill -9 while reading, while summarizing, and between the bulk response and the ledger."""

from __future__ import annotations

from pathlib import Path

from tests.integration.raypipe_command import Project, write_book

BOOKS = 12
KILL_AT = {"read": 5, "summarize": 4, "ledger": 1}
"""Gates, and how many calls pass each before the next call waits there and is killed."""


def make_project(folder: Path, endpoint: str, index: str) -> Project:
    project = Project(folder, endpoint)
    project.index = f"{project.index}-{index}"
    project.extra_options = [
        *project.held_checkpoint(),
        "stages.summarize.books_per_task=3",
        "stages.summarize.workers=1",
        "stages.write.tasks=1",
        "opensearch.max_docs=3",
    ]
    for number in range(BOOKS):
        write_book(project.books, f"Book_{number:02d}")
    return project


def test_after_kills_the_rerun_equals_a_clean_run(tmp_path: Path, opensearch_url: str) -> None:
    clean = make_project(tmp_path / "clean", opensearch_url, "clean")
    clean.run()
    expected = clean.documents()
    assert len(expected) == BOOKS
    for gate, after in KILL_AT.items():
        killed = make_project(tmp_path / gate, opensearch_url, gate)
        killed.journal.hold(gate, after)
        killed.kill_at(gate, "run", *killed.run_options())
        before, indexed = set(killed.processed_ids()), set(killed.documents())
        assert before <= indexed
        # At the other gates, a batch before may be between its bulk response and the ledger.
        assert gate != "ledger" or before < indexed, "indexed and not yet in the ledger"
        killed.journal.take("reads")
        record = killed.run()
        read = {key.partition("__")[0] for key in killed.journal.lines("reads")}
        processed = {expected[book_id]["title"].replace(" ", "_") for book_id in before}
        assert killed.client().count(index=killed.index)["count"] == BOOKS
        assert killed.documents() == expected
        assert sorted(killed.processed_ids()) == sorted(expected), "each id once"
        assert record["skipped"] == len(before) < BOOKS
        assert record["indexed"] == BOOKS - len(before)
        assert not processed & read, "a processed book was read again"
        killed.clean_up()
    clean.clean_up()
