"""Which index is served: complete, without deleted books, and equal to the ledger."""

from __future__ import annotations

from pathlib import Path

import pytest

from raypipe.core.errors import SetupError
from raypipe.ledger.facade import Ledger
from raypipe.lifecycle.index_check import check_index
from raypipe.state.local import LocalState
from tests.unit.lifecycle.fakes import FakeAlias, FakeIndex, promoter_of, record_processed


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(LocalState(str(tmp_path)))


def create_alias(ledger: Ledger, *, served: str, new: str) -> tuple[FakeAlias, FakeIndex]:
    """Return an alias, and the new index beside the served index.

    Args:
        ledger: Records the books of both indices.
        served: Letters, each the id of a book in the served index.
        new: The same for the new index.
    """
    log: list[str] = []
    indices = [
        FakeIndex(name, dict.fromkeys(ids, "e1"), log=log)
        for name, ids in (("books-1", served), ("books-2", new))
    ]
    for run_seq, index in enumerate(indices, start=1):
        record_processed(ledger, index, run_seq)
    return FakeAlias(indices, served=indices[0], log=log), indices[1]


def test_a_complete_index_is_served(ledger: Ledger) -> None:
    alias, new = create_alias(ledger, served="ab", new="abc")
    served = promoter_of(alias, ledger).promote(new.index)
    assert (served.index, served.before, served.lacking) == ("books-2", "books-1", ())
    assert alias.served is new


def test_an_index_that_lacks_books_is_served_only_by_force(ledger: Ledger) -> None:
    alias, new = create_alias(ledger, served="abc", new="a")
    served = promoter_of(alias, ledger).promote(new.index)
    assert (served.index, served.lacking) == ("books-1", ["b", "c"])
    assert alias.log == []
    assert promoter_of(alias, ledger).promote(new.index, force=True).index == "books-2"


def test_books_that_left_the_source_are_not_lacking(ledger: Ledger) -> None:
    alias, new = create_alias(ledger, served="abc", new="a")
    ledger.tombstones.append({"b": "b.txt"}, 2)
    served = promoter_of(alias, ledger).promote(new.index, listed={"a", "new"})
    assert (served.index, served.lacking) == ("books-2", ())


def test_deleted_books_leave_an_index_before_it_is_served(ledger: Ledger) -> None:
    alias, new = create_alias(ledger, served="abc", new="abc")
    ledger.tombstones.append({"b": "b.txt"}, 3)
    promoter_of(alias, ledger).promote(new.index)
    assert alias.log == ["delete b from books-2", "switch to books-2"]


def test_a_rollback_serves_the_index_that_was_served_before(ledger: Ledger) -> None:
    """After a rollback the older name is served, and the newer one was served last."""
    newest, served, oldest = (
        FakeIndex("books-3", last_served=2),
        FakeIndex("books-2", last_served=3),
        FakeIndex("books-1", last_served=1),
    )
    alias = FakeAlias([oldest, served, newest], served=served)
    assert promoter_of(alias, ledger).rollback().index == "books-3"


def test_a_rollback_keeps_renamed_books_that_the_old_index_has_under_the_old_name(
    ledger: Ledger,
) -> None:
    alias, new = create_alias(ledger, served="ab", new="ac")
    alias.served = new
    ledger.tombstones.append({"b": "b.txt"}, 3, {"b": "c"})
    promoter_of(alias, ledger).rollback()
    assert alias.log == ["switch to books-1"]


def test_a_rollback_serves_the_next_older_index_without_deleted_books(ledger: Ledger) -> None:
    alias, new = create_alias(ledger, served="ab", new="a")
    alias.served = new
    ledger.tombstones.append({"b": "b.txt"}, 3)
    promoter = promoter_of(alias, ledger)
    rolled_back = promoter.rollback()
    assert (rolled_back.index, rolled_back.before) == ("books-1", "books-2")
    assert alias.log == ["delete b from books-1", "switch to books-1"]
    with pytest.raises(SetupError, match="no index nowhere to roll back to"):
        promoter.rollback("nowhere")


@pytest.mark.parametrize(
    ("etags", "problem"),
    [({"a": "e1"}, r"lacks 1 books \(b\)"), ({"a": "e1", "b": "e0"}, "other versions of 1 books")],
)
def test_an_index_that_differs_from_the_ledger_is_an_error(
    ledger: Ledger, etags: dict[str, str], problem: str
) -> None:
    index = FakeIndex("books-1", {"a": "e1", "b": "e1"})
    record_processed(ledger, index)
    assert set(check_index(index.index, ledger)) == {"a", "b"}
    index.etags = etags
    with pytest.raises(SetupError, match=problem):
        check_index(index.index, ledger)
