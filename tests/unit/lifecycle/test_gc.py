"""What is garbage: nothing that is served, built, kept for a rollback, or the newest."""

from __future__ import annotations

from pathlib import Path

import pytest

from raypipe.core.errors import OptionError
from raypipe.ledger.checkpoint import Processed
from raypipe.ledger.facade import Ledger
from raypipe.lifecycle.gc import find_garbage
from raypipe.state.local import LocalState
from tests.unit.lifecycle.fakes import FakeAlias, FakeIndex, promoter_of
from tests.unit.opensearch.builders import document


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(LocalState(str(tmp_path)))
    for run_seq in range(1, 7):
        finished = document("a", document_recipe=f"recipe-{run_seq}")
        ledger.documents.append([finished], run_seq, 0, 0)
    return ledger


def garbage_names(alias: FakeAlias, ledger: Ledger, keep: int) -> tuple[list[str], list[str]]:
    """Return the names of the indices and of the recipes that can be removed."""
    garbage = find_garbage(promoter_of(alias, ledger, keep=keep))
    recipes = sorted(entry.recipe for entry in garbage.recipes)
    return [ref.physical for ref in garbage.indices], recipes


def test_only_indices_and_documents_that_nothing_needs_are_garbage(ledger: Ledger) -> None:
    indices = [
        FakeIndex(f"books-{number}", recipe=f"recipe-{number}", last_served=number)
        for number in range(1, 6)
    ]
    alias = FakeAlias(indices, served=indices[3], build=indices[4])
    assert garbage_names(alias, ledger, keep=1) == (
        ["books-2", "books-1"],
        ["recipe-1", "recipe-2"],
    )
    assert garbage_names(alias, ledger, keep=0) == (
        ["books-3", "books-2", "books-1"],
        ["recipe-1", "recipe-2", "recipe-3"],
    )


def test_without_an_index_the_newest_documents_are_kept(ledger: Ledger) -> None:
    recipes = [f"recipe-{number}" for number in range(1, 6)]
    assert garbage_names(FakeAlias([]), ledger, keep=1) == ([], recipes)


def test_documents_of_an_index_with_another_name_are_needed(ledger: Ledger) -> None:
    for name, generation, recipe in (
        ("novels-20261127000000", "g-novels", "recipe-1"),
        ("books-20261127000000", "g-deleted", "recipe-2"),
    ):
        row = Processed("a", "e1", recipe, name, generation, 1, 1.0)
        ledger.checkpoint.append([row], 1, generation, 0)
    recipes = [f"recipe-{number}" for number in (2, 3, 4, 5)]
    assert garbage_names(FakeAlias([]), ledger, keep=1) == ([], recipes)


def test_an_index_without_a_record_of_its_service_is_removed_by_name_only(ledger: Ledger) -> None:
    indices = [
        FakeIndex("books-1", recipe="recipe-1"),
        FakeIndex("books-2", recipe="recipe-2", last_served=1),
    ]
    promoter = promoter_of(FakeAlias(indices, served=indices[1]), ledger)
    garbage = find_garbage(promoter)
    assert ([ref.physical for ref in garbage.unrecorded], garbage.indices) == (["books-1"], [])
    assert "recipe-1" not in {entry.recipe for entry in garbage.recipes}
    named = find_garbage(promoter, ["books-1"])
    assert [ref.physical for ref in named.indices] == ["books-1"]
    with pytest.raises(OptionError, match=r"indices=books-2: .*these are books-1"):
        find_garbage(promoter, ["books-2"])


def test_a_closed_index_and_its_documents_are_no_garbage(ledger: Ledger) -> None:
    indices = [
        FakeIndex("books-1", recipe="recipe-1", last_served=1),
        FakeIndex("books-2", recipe="recipe-2", last_served=2, closed=True),
        FakeIndex("books-3", recipe="recipe-3", last_served=3),
    ]
    alias = FakeAlias(indices, served=indices[2])
    assert garbage_names(alias, ledger, keep=0)[0] == ["books-1"]
    assert garbage_names(alias, ledger, keep=1) == ([], ["recipe-4", "recipe-5"])
