from __future__ import annotations

import re
from pathlib import Path

import pytest

from raypipe.ledger.checkpoint import Checkpoint, Processed
from raypipe.ledger.failure_log import (
    FAILURES_SCHEMA,
    KINDS,
    FailedBook,
    FailureLog,
    explain,
    is_index_fault,
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


def test_appended_rows_are_read(log: FailureLog) -> None:
    log.append([failed("a")], 1, 0, 0)
    assert log.read_latest().schema == FAILURES_SCHEMA
    (cell,) = log.read_latest().to_pylist()
    assert FailedBook(**cell) == failed("a")
    assert log.append([], 1, 0, 0) == ""


def test_the_last_failure_of_a_book_is_read(log: FailureLog) -> None:
    log.append([failed("a", 1), failed("b", 1)], 1, 0, 0)
    log.append([failed("a", 2, attempts=2)], 2, 0, 0)
    known = {cell["book_id"]: cell["attempts"] for cell in log.read_latest().to_pylist()}
    assert known == {"a": 2, "b": 1}
    assert log.read_run(1)["book_id"].to_pylist() == ["a", "b"]
    assert log.read_run(2)["book_id"].to_pylist() == ["a"]


def test_compaction_keeps_the_last_failure_of_each_run(log: FailureLog) -> None:
    log.append([failed("a", 1)], 1, 0, 0)
    log.append([failed("a", 1, at=1.0)], 1, 0, 0)  # the task was retried
    log.append([failed("a", 2, attempts=2)], 2, 0, 0)
    assert log.compact(threshold=2) == 3
    assert len(log.read_run(1)) == 1
    assert log.read_run(2)["attempts"].to_pylist() == [2]
    assert log.read_latest()["attempts"].to_pylist() == [2]


def test_a_book_that_was_processed_later_is_resolved(log: FailureLog, state: LocalState) -> None:
    checkpoint = Checkpoint(state)
    log.append([failed(book, 2) for book in ("earlier", "same", "later", "never")], 2, 0, 0)
    for book, run in (("earlier", 1), ("same", 2), ("later", 3)):
        checkpoint.append([Processed(book, "e1", "r1", "i", "g", run, 0.0)], run, 0, 0)
    failures = unresolved(log.read_latest(), checkpoint.read_latest())
    assert failures["book_id"].to_pylist() == ["earlier", "never"]


def test_unresolved_failures_of_an_empty_ledger(log: FailureLog, state: LocalState) -> None:
    checkpoint = Checkpoint(state)
    assert len(unresolved(log.read_latest(), checkpoint.read_latest())) == 0
    log.append([failed("a")], 1, 0, 0)
    assert len(unresolved(log.read_latest(), checkpoint.read_latest())) == 1


def test_a_book_is_resolved_in_the_same_run(log: FailureLog, state: LocalState) -> None:
    """A write task was acknowledged and died, then its retry failed: the book is indexed."""
    checkpoint = Checkpoint(state)
    checkpoint.append([Processed("a", "e1", "r1", "i", "g", 1, 50.0)], 1, 0, 0)
    log.append([failed("a", 1), failed("b", 1)], 1, 0, 0)
    assert unresolved(log.read_run(1), checkpoint.read_run(1))["book_id"].to_pylist() == ["b"]


@pytest.mark.parametrize(
    ("kind", "message", "expected"),
    [
        ("pipeline", "", True),
        ("superseded", "", True),
        ("unavailable", "", True),
        ("rejected", "a.txt: index_closed_exception: closed", True),
        ("mapper_parsing", "a.txt: mapper_parsing_exception: failed to parse", False),
        ("bad_vector", "", False),
        ("too_large", "", False),
        ("no_reader", "a.pdf: the package pypdfium2 is not installed", True),
        ("binary", "a.doc: this is an old Microsoft Office file; raypipe cannot read it", False),
        # As older versions of raypipe recorded them:
        ("binary", "not a text file: this is a PDF file; raypipe reads plain text", True),
        ("mapper_parsing", "a.txt: illegal_argument_exception: no write index is defined", True),
        ("mapper_parsing", "a.txt: illegal_argument_exception: an immense term in", False),
        ("mapper_parsing", "a.txt: strict_dynamic_mapping_exception: [a] not allowed", True),
    ],
)
def test_the_fault_of_an_index_is_told_from_that_of_a_book(
    kind: str, message: str, expected: bool
) -> None:
    assert is_index_fault(kind, message) is expected


def test_every_kind_is_explained_with_a_fix() -> None:
    for kind, text in KINDS.items():
        assert re.fullmatch(r"[a-z_]+", kind)
        assert ";" in text or ":" in text, f"the explanation of {kind} has no fix"
        assert "\n" not in text
    assert "see the message" in explain("kind of a newer version")


def test_every_kind_the_code_raises_is_explained() -> None:
    package = Path(__file__).parents[3] / "raypipe"
    code = "".join(file.read_text() for file in package.rglob("*.py"))
    raised = set(re.findall(r'BookError\(\s*"([a-z_]+)"', code))
    raised |= set(re.findall(r'Rejected\([^"()]*(?:\([^()]*\))?[^"()]*"([a-z_]+)"', code))
    assert "undecodable" in raised
    assert raised <= set(KINDS)
