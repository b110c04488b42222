from __future__ import annotations

import re
from pathlib import Path

import pytest

from raypipe.ledger.checkpoint import Checkpoint, Processed
from raypipe.ledger.failures import (
    FAILURES_SCHEMA,
    KINDS,
    FailedBook,
    FailureLog,
    explain,
    permanent,
    unresolved,
)
from raypipe.state.local import LocalState


@pytest.fixture
def state(tmp_path: Path) -> LocalState:
    return LocalState(str(tmp_path))


@pytest.fixture
def log(state: LocalState) -> FailureLog:
    return FailureLog(state)


def failed(
    book: str, run: int = 1, *, attempts: int = 1, retryable: bool = True, at: float = 0.0
) -> FailedBook:
    key, message = f"{book}.txt", f"{book}.txt was not delivered"
    return FailedBook(
        book, key, "e1", "r1", "read", "read", message, retryable, attempts, run, 100.0 * run + at
    )


def test_rows_come_back(log: FailureLog) -> None:
    log.append([failed("a")], 1, 0, 0)
    assert log.known().schema == FAILURES_SCHEMA
    (cell,) = log.known().to_pylist()
    assert FailedBook(**cell) == failed("a")
    assert log.append([], 1, 0, 0) == ""


def test_the_last_failure_of_a_book_is_known(log: FailureLog) -> None:
    log.append([failed("a", 1), failed("b", 1)], 1, 0, 0)
    log.append([failed("a", 2, attempts=2)], 2, 0, 0)
    known = {cell["book_id"]: cell["attempts"] for cell in log.known().to_pylist()}
    assert known == {"a": 2, "b": 1}
    assert log.of_run(1)["book_id"].to_pylist() == ["a", "b"]
    assert log.of_run(2)["book_id"].to_pylist() == ["a"]


def test_compaction_keeps_every_run(log: FailureLog) -> None:
    log.append([failed("a", 1)], 1, 0, 0)
    log.append([failed("a", 1, at=1.0)], 1, 0, 0)  # the task was retried
    log.append([failed("a", 2, attempts=2)], 2, 0, 0)
    assert log.compact(threshold=2) == 3
    assert len(log.of_run(1)) == 1
    assert log.of_run(2)["attempts"].to_pylist() == [2]
    assert log.known()["attempts"].to_pylist() == [2]


def test_what_was_processed_since_has_not_failed(log: FailureLog, state: LocalState) -> None:
    checkpoint = Checkpoint(state)
    log.append([failed(book, 2) for book in ("earlier", "same", "later", "never")], 2, 0, 0)
    for book, run in (("earlier", 1), ("same", 2), ("later", 3)):
        checkpoint.append([Processed(book, "e1", "r1", "i", "g", run, 0.0)], run, 0, 0)
    left = unresolved(log.known(), checkpoint.history())
    assert left["book_id"].to_pylist() == ["earlier", "never"]


def test_standing_of_nothing(log: FailureLog, state: LocalState) -> None:
    checkpoint = Checkpoint(state)
    assert len(unresolved(log.known(), checkpoint.history())) == 0
    log.append([failed("a")], 1, 0, 0)
    assert len(unresolved(log.known(), checkpoint.history())) == 1


def test_one_run_counts_each_book_once(log: FailureLog, state: LocalState) -> None:
    """A write task was acknowledged, died, and its second try failed: the book is indexed."""
    checkpoint = Checkpoint(state)
    checkpoint.append([Processed("a", "e1", "r1", "i", "g", 1, 50.0)], 1, 0, 0)
    log.append([failed("a", 1), failed("b", 1)], 1, 0, 0)
    assert unresolved(log.of_run(1), checkpoint.of_run(1))["book_id"].to_pylist() == ["b"]


def test_lasting_are_the_hopeless_and_the_often_tried(log: FailureLog) -> None:
    log.append(
        [
            failed("may pass", attempts=2),
            failed("often", attempts=3),
            failed("hopeless", retryable=False),
        ],
        1,
        0,
        0,
    )
    assert permanent(log.known())["book_id"].to_pylist() == ["often", "hopeless"]
    assert len(permanent(log.known(), max_attempts=2)) == 3
    assert len(permanent(log.known().slice(0, 0))) == 0


def test_every_kind_is_explained_with_a_way_out() -> None:
    for kind, text in KINDS.items():
        assert re.fullmatch(r"[a-z_]+", kind)
        assert ";" in text or ":" in text, f"{kind} says no way out"
        assert "\n" not in text
    assert "see the message" in explain("from the future")


def test_every_kind_the_code_raises_is_explained() -> None:
    package = Path(__file__).parents[3] / "raypipe"
    code = "".join(file.read_text() for file in package.rglob("*.py"))
    raised = set(re.findall(r'BookError\(\s*"([a-z_]+)"', code))
    raised |= set(re.findall(r'Rejected\([^"()]*(?:\([^()]*\))?[^"()]*"([a-z_]+)"', code))
    assert "undecodable" in raised
    assert raised <= set(KINDS)
