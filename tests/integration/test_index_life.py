"""Rebuilding an index while the old one is searched: build, check, promote, roll back."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from raypipe.core.errors import SetupError
from raypipe.core.options import IndexOptions
from raypipe.ledger.checkpoint import Checkpoint, Processed
from raypipe.ledger.document_store import DocumentStore
from raypipe.ledger.facade import Ledger
from raypipe.lifecycle.promote import Promoter
from raypipe.opensearch.connection.client import Connection
from raypipe.opensearch.index import Index, IndexAlias, IndexConfig, IndexSpec
from raypipe.state.local import LocalState
from raypipe.state.store import state_id
from tests.integration.raypipe_command import Project, run_in_process, write_book
from tests.unit.opensearch.builders import document

BOOKS = 6
OTHER = ("embedder.dimension=32", "replace=true")
"""An option that changes the recipe."""


@pytest.fixture
def books(project: Project) -> Project:
    for number in range(BOOKS):
        write_book(project.books, f"Book_{number:02d}")
    return project


def index_behind(books: Project, suffix: str = "") -> str:
    """Return the physical index of the project's alias, or of the alias with this suffix."""
    indices = books.client().indices.get_alias(name=f"{books.index}{suffix}", ignore=[404])
    return "" if "error" in indices else next(iter(indices))


def physical_indices(books: Project) -> list[str]:
    return sorted(books.client().indices.get(index=f"{books.index}-2*"))


def run_json(books: Project, command: str, *more: str, code: int = 0) -> dict[str, Any]:
    """Run `promote` or `rollback` and return its JSON output."""
    args = [f"state.uri={books.state}", *books.index_options()[:3], "output=json", *more]
    output: dict[str, Any] = json.loads(run_in_process(command, args, code))
    return output


def test_another_recipe_builds_a_new_index_that_can_be_rolled_back(books: Project) -> None:
    first = books.run()
    assert first["served"] == first["index"] == index_behind(books)
    second = books.run(*OTHER)
    assert second["served"] == second["index"] == index_behind(books)
    assert second["index"] != first["index"]
    assert index_behind(books, "-loading") == ""
    assert physical_indices(books) == sorted([first["index"], second["index"]]), (
        "the old index is kept"
    )
    assert len(books.documents()) == BOOKS
    summarized = books.journal.lines("summaries")
    assert len(summarized) == len(set(summarized)), "no book is summarized twice"

    rolled_back = run_json(books, "rollback")
    assert (rolled_back["index"], rolled_back["before"]) == (first["index"], second["index"])
    assert index_behind(books) == first["index"]
    assert run_json(books, "promote", f"to={second['index']}")["index"] == index_behind(books)

    third = books.run(*OTHER, command="index")
    assert third["indexed"] == BOOKS, "`index` builds a new index without downtime"
    assert third["served"] == index_behind(books) == third["index"] != second["index"]
    assert physical_indices(books) == sorted([second["index"], third["index"]]), (
        "one old index is kept"
    )
    again = books.run(*OTHER, "index.mode=inplace", command="index")
    assert (again["skipped"], again["served"]) == (BOOKS, third["index"])


def test_a_killed_build_continues_and_is_not_served_before_it_is_complete(books: Project) -> None:
    old = books.run()["index"]
    before = books.documents()
    books.journal.hold("ledger", 0)
    books.kill_at("ledger", "run", *books.run_options(*OTHER, *books.held_checkpoint()))
    loading = index_behind(books, "-loading")
    assert loading
    assert index_behind(books) == old
    assert books.documents() == before
    record = books.run(*OTHER)
    assert record["index"] == record["served"] == index_behind(books) == loading
    assert len(books.documents()) == BOOKS


def test_an_incomplete_index_is_not_served_unless_forced(books: Project) -> None:
    old = books.run()["index"]
    books.run(*OTHER, "limit=4")
    assert index_behind(books) == old, "two books are left"
    unreadable = "Book_01__by__Author_Book_01.txt"
    books.journal.record("unreadable", unreadable)
    (
        books.books / "Book_05__by__Author_Book_05.txt"
    ).unlink()  # a deleted book does not make the new index incomplete
    record = books.run("summarizer.words=7", "allow_deletes=true", code=3)
    assert (record["failed"], record["lacking"], record["served"]) == (1, 1, old)
    assert len(books.documents()) == BOOKS - 1, "the deleted book is no longer in the served index"
    new = record["index"]
    assert len(physical_indices(books)) == 2, "the index of the previous build is deleted"
    again = books.run("summarizer.words=7", "max_attempts=1", code=3)
    assert (again["failed"], again["known_failures"], again["lacking"]) == (0, 1, 1)
    promoted = run_json(books, "promote", code=3)
    assert (promoted["index"], len(promoted["lacking"])) == (old, 1), (
        "one of them was deleted from the source"
    )
    assert run_json(books, "promote", "force=true")["index"] == index_behind(books) == new
    assert len(books.documents()) == BOOKS - 2
    with pytest.raises(SetupError, match="no index is being built"):
        run_json(books, "promote")
    with pytest.raises(SetupError, match=r"to=other: no such index in this state, which has .*-2"):
        run_json(books, "promote", "to=other")


def test_a_purge_deletes_the_index_being_built(books: Project) -> None:
    books.run("limit=4")
    books.run(*OTHER, "limit=2")
    assert index_behind(books, "-loading")
    books.run("purge=true")
    assert index_behind(books, "-loading") == ""
    assert physical_indices(books) == [index_behind(books)]


def test_a_rollback_needs_an_old_index(books: Project) -> None:
    books.run("limit=2")
    with pytest.raises(SetupError, match=r"no index to roll back to; there are .*-2.* is served"):
        run_json(books, "rollback")


class IndexBuilder:
    """Builds indices from a state's documents, without Ray."""

    def __init__(self, tmp_path: Path, url: str, name: str) -> None:
        self.state = LocalState(str(tmp_path / "state"))
        self.connection = Connection(url)
        self.alias = IndexAlias(IndexConfig(self.connection, index=name, replicas=1))
        self.contents = IndexSpec(4, {"model": "stub"}, state_id(self.state), "recipe-1")
        self.run_seq = 0

    def build(self, ids: str, recipe: str = "recipe-1", mode: str = "auto") -> Index:
        contents = dataclasses.replace(self.contents, recipe=recipe)
        index = self.alias.open(contents, mode=mode)
        self.run_seq += 1
        documents = [
            dataclasses.replace(document(book_id), document_recipe=recipe) for book_id in ids
        ]
        DocumentStore(self.state).append(documents, self.run_seq, 0, 0)
        results = list(index.bulk_writer(self.run_seq).write(documents))
        assert sum(map(len, results)) == len(ids)
        rows = [
            Processed(
                each.book_id,
                each.etag,
                recipe,
                index.ref.physical,
                index.ref.generation,
                self.run_seq,
                0.0,
            )
            for each in documents
        ]
        Checkpoint(self.state).append(rows, self.run_seq, 0, 0)
        return index

    def promote(self, index: Index, **more: Any) -> str:
        promotion = Promoter(self.alias, Ledger(self.state), IndexOptions(**more), 99)
        return promotion.promote(index).index

    def settings(self, physical: str) -> dict[str, Any]:
        response = self.connection.ask("GET", f"/{physical}/_settings")
        settings: dict[str, Any] = response[physical]["settings"]["index"]
        return settings


@pytest.fixture
def builder(tmp_path: Path, project: Project) -> IndexBuilder:
    return IndexBuilder(tmp_path, project.endpoint, project.index)


def test_replicas_and_refreshes_are_disabled_while_loading(builder: IndexBuilder) -> None:
    served = builder.build("abc")
    new = builder.build("abc", "recipe-2")
    assert (served.ref.served, new.ref.served) == (True, False)
    new.apply_load_settings()
    new.apply_load_settings()  # by the run after a kill: the settings to restore do not change
    tuned = builder.settings(new.ref.physical)
    assert (tuned["number_of_replicas"], tuned["refresh_interval"]) == ("0", "-1")
    assert builder.settings(served.ref.physical)["number_of_replicas"] == "1", (
        "the served index is unchanged"
    )
    assert builder.promote(new, force_merge=1) == new.ref.physical
    after = builder.settings(new.ref.physical)
    assert after["number_of_replicas"] == "1"
    assert "refresh_interval" not in after


def test_the_next_run_restores_settings_of_a_load(builder: IndexBuilder) -> None:
    builder.build("abc")
    new = builder.build("abc", "recipe-2")
    new.apply_load_settings()
    builder.alias.switch_to(new.ref.physical)  # as by hand
    assert builder.build("abc", "recipe-2").ref.physical == new.ref.physical
    assert builder.settings(new.ref.physical)["number_of_replicas"] == "1"


def test_an_index_that_differs_from_the_ledger_is_not_served(builder: IndexBuilder) -> None:
    ask = builder.connection.ask
    old = builder.build("abc")
    new = builder.build("abc", "recipe-2")
    ask(
        "DELETE",
        f"/{new.ref.physical}/_doc/b",
        params={"version": 2, "version_type": "external_gte"},
    )
    with pytest.raises(SetupError, match=r"it lacks 1 books \(b\)"):
        builder.promote(new)
    new = builder.build("b", "recipe-2")
    update = {"doc": {"title": "Another"}}
    ask("POST", f"/{new.ref.physical}/_update/c", body=update)
    with pytest.raises(SetupError, match="book c has another title than was finished"):
        builder.promote(new)
    ask("POST", f"/{new.ref.physical}/_update/c", body={"doc": {"title": document("c").title}})
    update = {"doc": {"etag": "other"}}
    ask("POST", f"/{new.ref.physical}/_update/c", body=update)
    with pytest.raises(SetupError, match=r"it holds other versions of 1 books \(c\)"):
        builder.promote(new)
    served = builder.alias.find()
    assert served is not None
    assert served.ref.physical == old.ref.physical


def test_a_concrete_index_cannot_be_rebuilt_behind_an_alias(builder: IndexBuilder) -> None:
    builder.connection.ask("PUT", f"/{builder.alias.config.index}")
    with pytest.raises(SetupError, match=r"is an index, not an alias.*index.mode=inplace"):
        builder.build("a", mode="alias")
