"""An index that is rebuilt while it is searched: built beside, checked, served, left again."""

from __future__ import annotations

import dataclasses
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from raypipe.core.errors import SetupError
from raypipe.core.options import IndexOptions
from raypipe.ledger.checkpoint import Checkpoint, Processed
from raypipe.ledger.document_store import DocumentStore
from raypipe.ledger.ledger import Ledger
from raypipe.lifecycle.promote import Promoter
from raypipe.opensearch.connection.client import Connection
from raypipe.opensearch.index import Index, IndexAlias, IndexConfig, IndexSpec
from raypipe.state.local import LocalState
from raypipe.state.store import state_id
from tests.integration.raypipe_command import (
    PARTS,
    Project,
    project,
    run_in_process,
    shared_ray,
    wait_for,
    write_book,
)
from tests.unit.opensearch.builders import document

__all__ = ["project", "shared_ray"]

pytestmark = pytest.mark.integration

BOOKS = 6
OTHER = "embedder.dimension=32"


@pytest.fixture
def books(project: Project, shared_ray: None) -> Project:
    for number in range(BOOKS):
        write_book(project.books, f"Book_{number:02d}")
    return project


def behind(books: Project, alias: str = "") -> str:
    """Return the physical index behind the served alias, or another one of it."""
    there = books.client().indices.get_alias(name=f"{books.index}{alias}", ignore=[404])
    return "" if "error" in there else next(iter(there))


def physical(books: Project) -> list[str]:
    return sorted(books.client().indices.get(index=f"{books.index}-2*"))


def serve(books: Project, command: str, *more: str, code: int = 0) -> dict[str, Any]:
    args = [f"state.uri={books.state}", *books.index_options()[:3], "output=json", *more]
    told: dict[str, Any] = json.loads(run_in_process(command, args, code))
    return told


def test_another_recipe_is_built_beside_and_goes_over_and_back(books: Project) -> None:
    first = books.run()
    assert first["served"] == first["index"] == behind(books)
    second = books.run(OTHER)
    assert second["served"] == second["index"] == behind(books)
    assert second["index"] != first["index"]
    assert behind(books, "-loading") == ""
    assert physical(books) == sorted([first["index"], second["index"]]), "the old one is kept"
    assert len(books.documents()) == BOOKS
    assert books.journal.lines("summaries") == sorted(set(books.journal.lines("summaries")))

    gone_back = serve(books, "rollback")
    assert (gone_back["index"], gone_back["before"]) == (first["index"], second["index"])
    assert behind(books) == first["index"]
    assert serve(books, "promote", f"to={second['index']}")["index"] == behind(books)

    third = books.run(OTHER, command="index")
    assert third["indexed"] == BOOKS, "index builds anew, without a gap"
    assert third["served"] == behind(books) == third["index"] != second["index"]
    assert physical(books) == sorted([second["index"], third["index"]]), "one old one is kept"
    again = books.run(OTHER, "index.mode=inplace", command="index")
    assert (again["skipped"], again["served"]) == (BOOKS, third["index"])


def test_a_build_that_was_killed_goes_on_and_nobody_sees_it_before(books: Project) -> None:
    old = books.run()["index"]
    before = books.documents()
    options = list(books.extra_options)
    books.extra_options += [
        f"checkpoint._target_={PARTS}.HeldCheckpointSettings",
        f"+checkpoint.journal={books.journal.folder}",
    ]
    books.journal.hold("ledger", 0)
    process = books.start("run", *books.run_options(OTHER))
    wait_for(lambda: books.journal.count_waiting("ledger") or process.poll() is not None)
    assert process.poll() is None, books.stderr()
    process.send_signal(signal.SIGKILL)
    process.wait()
    books.wait_until_processes_end(killed=True)
    books.journal.release("ledger")
    books.extra_options = options
    begun = behind(books, "-loading")
    assert begun
    assert behind(books) == old
    assert books.documents() == before
    record = books.run(OTHER)
    assert record["index"] == record["served"] == behind(books) == begun
    assert len(books.documents()) == BOOKS


def test_an_index_that_lacks_books_is_not_served_unless_forced(books: Project) -> None:
    old = books.run()["index"]
    books.run(OTHER, "limit=4")
    assert behind(books) == old, "two books are left"
    sick = "Book_01__by__Author_Book_01.txt"
    books.journal.record("unreadable", sick)
    (books.books / "Book_05__by__Author_Book_05.txt").unlink()  # gone: it need not be there
    record = books.run("summarizer.words=7", "allow_deletes=true", code=3)
    assert (record["failed"], record["lacking"], record["served"]) == (1, 1, old)
    assert len(books.documents()) == BOOKS - 1, "it is gone from the index that is searched"
    new = record["index"]
    assert len(physical(books)) == 2, "the build of the recipe before is deleted"
    again = books.run("summarizer.words=7", "max_attempts=1", code=3)
    assert (again["failed"], again["known_failures"], again["lacking"]) == (0, 1, 1)
    told = serve(books, "promote", code=3)
    assert (told["index"], len(told["lacking"])) == (old, 1), "one was removed at the source"
    assert serve(books, "promote", "force=true")["index"] == behind(books) == new
    assert len(books.documents()) == BOOKS - 2
    with pytest.raises(SetupError, match="no index is being built"):
        serve(books, "promote")
    with pytest.raises(SetupError, match=r"to=other: no such index in this state, which has .*-2"):
        serve(books, "promote", "to=other")


def test_a_purge_takes_what_was_being_built_along(books: Project) -> None:
    books.run("limit=4")
    books.run(OTHER, "limit=2")
    assert behind(books, "-loading")
    books.run("purge=true")
    assert behind(books, "-loading") == ""
    assert physical(books) == [behind(books)]


def test_there_is_nothing_to_go_back_to(books: Project) -> None:
    books.run("limit=2")
    with pytest.raises(SetupError, match=r"no index to roll back to; there are .*-2.* is served"):
        serve(books, "rollback")


class IndexBuilder:
    """A state with documents, and an index that is built from them, without Ray."""

    def __init__(self, tmp_path: Path, url: str, name: str) -> None:
        self.state = LocalState(str(tmp_path / "state"))
        self.connection = Connection(url)
        self.alias = IndexAlias(IndexConfig(self.connection, index=name, replicas=1))
        self.contents = IndexSpec(4, {"model": "stub"}, state_id(self.state), "recipe-1")
        self.run_seq = 0

    def built(self, ids: str, recipe: str = "recipe-1", mode: str = "auto") -> Index:
        contents = dataclasses.replace(self.contents, recipe=recipe)
        index = self.alias.open(contents, mode=mode)
        self.run_seq += 1
        made = [dataclasses.replace(document(one), document_recipe=recipe) for one in ids]
        DocumentStore(self.state).append(made, self.run_seq, 0, 0)
        results = list(index.bulk_writer(self.run_seq).write(made))
        assert sum(map(len, results)) == len(ids)
        rows = [
            Processed(
                one.book_id,
                one.etag,
                recipe,
                index.ref.physical,
                index.ref.generation,
                self.run_seq,
                0.0,
            )
            for one in made
        ]
        Checkpoint(self.state).append(rows, self.run_seq, 0, 0)
        return index

    def promote(self, index: Index, **more: Any) -> str:
        promotion = Promoter(self.alias, Ledger(self.state), IndexOptions(**more), 99)
        return promotion.promote(index).index

    def settings(self, physical: str) -> dict[str, Any]:
        answer = self.connection.ask("GET", f"/{physical}/_settings")
        found: dict[str, Any] = answer[physical]["settings"]["index"]
        return found


@pytest.fixture
def ledger(tmp_path: Path, project: Project) -> IndexBuilder:
    return IndexBuilder(tmp_path, project.endpoint, project.index)


def test_a_large_load_has_no_replicas_and_gets_them_back(ledger: IndexBuilder) -> None:
    served = ledger.built("abc")
    new = ledger.built("abc", "recipe-2")
    assert (served.ref.served, new.ref.served) == (True, False)
    new.apply_load_settings()
    new.apply_load_settings()  # by the run after a kill: the settings to restore stay the same
    tuned = ledger.settings(new.ref.physical)
    assert (tuned["number_of_replicas"], tuned["refresh_interval"]) == ("0", "-1")
    assert ledger.settings(served.ref.physical)["number_of_replicas"] == "1", "it is not touched"
    assert ledger.promote(new, force_merge=1) == new.ref.physical
    after = ledger.settings(new.ref.physical)
    assert after["number_of_replicas"] == "1"
    assert "refresh_interval" not in after


def test_settings_of_a_load_are_put_back_by_whoever_comes_next(ledger: IndexBuilder) -> None:
    ledger.built("abc")
    new = ledger.built("abc", "recipe-2")
    new.apply_load_settings()
    ledger.alias.switch_to(new.ref.physical)  # by hand, say
    assert ledger.built("abc", "recipe-2").ref.physical == new.ref.physical
    assert ledger.settings(new.ref.physical)["number_of_replicas"] == "1"


def test_an_index_that_is_not_what_the_ledger_says_is_not_served(ledger: IndexBuilder) -> None:
    ask = ledger.connection.ask
    old = ledger.built("abc")
    new = ledger.built("abc", "recipe-2")
    ask(
        "DELETE",
        f"/{new.ref.physical}/_doc/b",
        params={"version": 2, "version_type": "external_gte"},
    )
    with pytest.raises(SetupError, match=r"it lacks 1 books \(b\)"):
        ledger.promote(new)
    new = ledger.built("b", "recipe-2")
    update = {"doc": {"title": "Another"}}
    ask("POST", f"/{new.ref.physical}/_update/c", body=update)
    with pytest.raises(SetupError, match="book c has another title than was finished"):
        ledger.promote(new)
    ask("POST", f"/{new.ref.physical}/_update/c", body={"doc": {"title": document("c").title}})
    update = {"doc": {"etag": "other"}}
    ask("POST", f"/{new.ref.physical}/_update/c", body=update)
    with pytest.raises(SetupError, match=r"it holds other versions of 1 books \(c\)"):
        ledger.promote(new)
    served = ledger.alias.find()
    assert served is not None
    assert served.ref.physical == old.ref.physical


def test_a_concrete_index_cannot_go_over(ledger: IndexBuilder) -> None:
    ledger.connection.ask("PUT", f"/{ledger.alias.config.index}")
    with pytest.raises(SetupError, match=r"is an index, not an alias.*index.mode=inplace"):
        ledger.built("a", mode="alias")
