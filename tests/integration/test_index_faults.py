"""The index holds what the ledger says, whatever somebody does to the index or its alias."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from raypipe.core.errors import SetupError
from tests.integration.ingest_node import ingest_node
from tests.integration.raypipe_command import Project, run_in_process, wait_for, write_book

BOOKS = 3
OTHER = ("embedder.dimension=32", "replace=true")
"""An option that changes the recipe."""


@pytest.fixture
def books(project: Project) -> Project:
    for number in range(BOOKS):
        write_book(project.books, f"Book_{number}")
    return project


@pytest.fixture
def pipelines(books: Project) -> Iterator[Project]:
    """Yield a project whose server runs ingest pipelines; delete its pipelines afterwards."""
    real = books.endpoint
    with ingest_node(real) as books.endpoint:
        yield books
    books.endpoint = real
    books.client().ingest.delete_pipeline(id=f"{books.index}-*", ignore=[404])


def titles(books: Project) -> set[str]:
    return {document["title"] for document in books.documents().values()}


def set_pipeline(books: Project, physical: str, *processors: Mapping[str, Any]) -> str:
    """Give an index an ingest pipeline of these processors, or none; return its name."""
    name = f"{books.index}-pipeline" if processors else "_none"
    if processors:
        books.client().ingest.put_pipeline(id=name, body={"processors": list(processors)})
    settings = {"index": {"default_pipeline": name}}
    books.client().indices.put_settings(index=physical, body=settings)
    return name


def while_running(books: Project, action: Callable[[], object], *options: str) -> dict[str, Any]:
    """Run, and do something after the index was opened and before a document is written."""
    books.journal.hold("summarize", 0)

    def act() -> None:
        wait_for(lambda: books.journal.count_waiting("summarize"))
        action()
        books.journal.release("summarize")

    thread = threading.Thread(target=act)
    thread.start()
    try:
        return books.run(*options)
    finally:
        thread.join()


def test_a_closed_index_is_refused_before_a_book_is_read(books: Project) -> None:
    physical = books.run()["index"]
    client = books.client()
    client.indices.close(index=physical)
    write_book(books.books, "Book_9")
    books.journal.take("reads")
    closed = rf"{physical}.* the index is closed; open it with POST /{physical}/_open"
    for options in ((), (*OTHER,), ("limit=0",)):
        with pytest.raises(SetupError, match=closed):
            books.run(*options)
    assert books.journal.lines("reads") == []
    client.indices.open(index=physical)
    assert books.run()["indexed"] == 1


def test_an_index_closed_during_a_run_fails_no_book_for_good(books: Project) -> None:
    physical = books.run("limit=1")["index"]
    client = books.client()
    with pytest.raises(SetupError, match="the index is closed; open it with"):
        while_running(books, lambda: client.indices.close(index=physical))
    assert books.failures(2) == {}
    client.indices.open(index=physical)
    assert books.run()["indexed"] == BOOKS - 1


def test_a_blocked_index_is_refused_before_a_book_is_read(books: Project) -> None:
    physical = books.run("limit=1")["index"]
    settings = {"index": {"blocks": {"read_only": True}}}
    books.client().indices.put_settings(index=physical, body=settings)
    books.journal.take("reads")
    with pytest.raises(SetupError, match="the index is blocked; remove the block"):
        books.run()
    assert books.journal.lines("reads") == []
    settings["index"]["blocks"]["read_only"] = False
    books.client().indices.put_settings(index=physical, body=settings)
    assert books.run()["indexed"] == BOOKS - 1


def test_a_data_stream_of_the_name_and_its_template_are_named(books: Project) -> None:
    client, name = books.client(), f"{books.index}-template"
    body = {"index_patterns": [f"{books.index}*"], "data_stream": {}, "priority": 500}
    client.indices.put_index_template(name=name, body=body)
    try:
        with pytest.raises(SetupError, match="GET /_index_template"):
            books.run()
        client.transport.perform_request("PUT", f"/_data_stream/{books.index}")
        with pytest.raises(SetupError, match=f"DELETE /_data_stream/{books.index}"):
            books.run()
    finally:
        client.transport.perform_request("DELETE", f"/_data_stream/{books.index}*")
        client.indices.delete_index_template(name=name)
    assert books.run()["indexed"] == BOOKS


def test_a_book_that_a_pipeline_drops_is_tried_again_without_limit(
    pipelines: Project, caplog: pytest.LogCaptureFixture
) -> None:
    books = pipelines
    physical = books.run("limit=1")["index"]
    name = set_pipeline(books, physical, {"drop": {"if": "ctx.title == 'Book 2'"}})
    record = books.run("max_attempts=1", code=3)
    assert (record["indexed"], record["failed"]) == (1, 1)
    assert f"{physical} has the ingest pipeline {name}" in caplog.text
    [failure] = books.failures(2).values()
    assert (failure["kind"], failure["retryable"]) == ("pipeline", True)
    assert f"the ingest pipeline {name} dropped the document" in failure["message"]
    assert titles(books) == {"Book 0", "Book 1"}
    assert books.run("max_attempts=1", code=3)["failed"] == 1
    assert books.verify(code=3)["failed"] == ["Book_2__by__Author_Book_2.txt"]
    set_pipeline(books, physical)
    books.journal.take("reads")
    assert books.run("max_attempts=1")["indexed"] == 1
    assert books.journal.lines("reads") == [], "the finished document is indexed"


def test_a_document_that_a_pipeline_sends_elsewhere_is_not_indexed(pipelines: Project) -> None:
    books = pipelines
    physical = books.run("limit=1")["index"]
    other = f"{books.index}-other"
    books.client().indices.create(index=other, body={"aliases": {f"{other}-alias": {}}})
    for target, message in ((f"{other}-alias", other), (other, other)):
        set_pipeline(books, physical, {"set": {"field": "_index", "value": target}})
        record = books.run("max_attempts=1", code=3)
        assert (record["indexed"], record["failed"]) == (0, BOOKS - 1)
        for failure in books.failures(record["run_seq"]).values():
            assert failure["kind"] == "pipeline"
            assert f"sent the document to the index {message}" in failure["message"]
    set_pipeline(books, physical)
    assert books.run("max_attempts=1")["indexed"] == BOOKS - 1


@pytest.mark.parametrize(
    "processor",
    [
        {"fail": {"message": "no such luck"}},
        {"set": {"field": "no_such_field", "value": 1}},
    ],
    ids=["fails", "adds a field"],
)
def test_a_book_that_a_pipeline_breaks_is_tried_again_without_limit(
    pipelines: Project, processor: dict[str, Any]
) -> None:
    physical = pipelines.run("limit=1")["index"]
    name = set_pipeline(pipelines, physical, processor)
    for _ in range(2):
        record = pipelines.run("max_attempts=1", "limit=1", code=3)
        [failure] = pipelines.failures(record["run_seq"]).values()
        assert failure["kind"] == "pipeline"
        assert f"(after the ingest pipeline {name})" in failure["message"]
    set_pipeline(pipelines, physical)
    assert pipelines.run("max_attempts=1")["indexed"] == BOOKS - 1


def test_a_missing_pipeline_stops_a_run_with_one_line(pipelines: Project) -> None:
    books = pipelines
    physical = books.run("limit=1")["index"]
    settings = {"index": {"default_pipeline": "nobody-has-it"}}
    put = books.client().indices.put_settings
    missing = "the ingest pipeline of the index does not exist; create it.*nobody-has-it"
    with pytest.raises(SetupError, match=missing):
        while_running(books, lambda: put(index=physical, body=settings))
    assert books.failures(2) == {}
    books.journal.take("reads")
    with pytest.raises(SetupError, match=missing):
        books.run()
    assert books.journal.lines("reads") == []
    set_pipeline(books, physical)
    assert books.run()["indexed"] == BOOKS - 1


def test_a_pipeline_on_a_cluster_that_runs_none_stops_a_run_at_once(books: Project) -> None:
    physical = books.run("limit=1")["index"]
    set_pipeline(books, physical, {"drop": {}})
    with pytest.raises(SetupError, match=r"no node runs pipelines; give a node the role ingest"):
        books.run()
    set_pipeline(books, physical)
    assert books.run()["indexed"] == BOOKS - 1


def test_an_alias_moved_during_a_run_lets_no_document_into_another_index(
    books: Project, caplog: pytest.LogCaptureFixture
) -> None:
    old = books.run()["index"]
    new = books.run(*OTHER)["index"]
    served = books.documents()
    run_in_process("rollback", [*books.index_options(), f"state.uri={books.state}"])
    write_book(books.books, "Book_9")

    def move() -> None:
        actions = [
            {"add": {"index": new, "alias": books.index, "is_write_index": True}},
            {"remove": {"index": old, "alias": books.index}},
        ]
        books.client().indices.update_aliases(body={"actions": actions})

    record = while_running(books, move)
    assert (record["index"], record["served"]) == (old, new)
    assert f"points at {new} now, and no longer at {old}" in caplog.text
    assert books.documents() == served, "the served index is unchanged"
    assert books.client().count(index=old)["count"] == BOOKS + 1
    assert books.run(*OTHER)["indexed"] == 1


def test_an_alias_that_is_no_write_index_is_written(books: Project) -> None:
    physical = books.run("limit=1")["index"]
    add = {"index": physical, "alias": books.index, "is_write_index": False}
    books.client().indices.update_aliases(body={"actions": [{"add": add}]})
    (books.books / "Book_0__by__Author_Book_0.txt").unlink()
    record = books.run("allow_deletes=true")
    assert (record["index"], record["served"]) == (physical, physical)
    assert (record["indexed"], record["removed"]) == (BOOKS - 1, 1)


def test_an_index_of_an_older_version_gets_its_write_alias(books: Project) -> None:
    physical = books.run("limit=1")["index"]
    aliases = books.client().indices
    aliases.delete_alias(index=physical, name=f"{physical}-write")
    assert books.run()["indexed"] == BOOKS - 1
    assert f"{physical}-write" in aliases.get(index=physical)[physical]["aliases"]
    new = books.run(*OTHER)["index"]
    aliases.delete_alias(index=f"{books.index}-2*", name=f"{books.index}-2*-write")
    (books.books / "Book_0__by__Author_Book_0.txt").unlink()
    assert books.run(*OTHER, "allow_deletes=true")["removed"] == 1
    options = [*books.index_options(), f"state.uri={books.state}"]
    run_in_process("rollback", options)
    assert titles(books) == {"Book 1", "Book 2"}, "a rollback deletes removed books, too"
    assert new != physical


def test_an_adopted_index_with_higher_versions_takes_every_book(
    books: Project, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="raypipe")
    for _ in range(2):
        books.run("limit=0")
    before = books.run()
    assert before["run_seq"] == 3
    shutil.rmtree(books.state)
    record = books.run("adopt=true")
    assert (record["indexed"], record["failed"], record["run_seq"]) == (BOOKS, 0, 4)
    assert record["run_id"].endswith("-0004")
    assert "run 1 is run 4: the index holds documents of run 3" in caplog.text
    assert books.client().get(index=books.index, id=books.processed_ids()[0])["_version"] == 4
    assert books.run()["run_seq"] == 5, "the next run goes on from there"
    assert books.verify()["good"] == BOOKS


def test_a_state_restored_from_a_backup_indexes_and_deletes(books: Project) -> None:
    backup = books.folder / "backup"
    books.run()
    shutil.copytree(books.state, backup)
    for words in ("is changed", "is changed again"):
        for number in range(BOOKS):
            write_book(books.books, f"Book_{number}", words).touch()
        books.run()
    shutil.rmtree(books.state)
    backup.rename(books.state)
    (books.books / "Book_0__by__Author_Book_0.txt").unlink()
    record = books.run("allow_deletes=true")
    assert (record["indexed"], record["failed"], record["removed"]) == (BOOKS - 1, 0, 1)
    assert record["run_seq"] == 4
    assert titles(books) == {"Book 1", "Book 2"}
    assert books.verify()["good"] == BOOKS - 1


def test_a_rollback_of_a_restored_state_deletes_removed_books(books: Project) -> None:
    first = books.run()["index"]
    books.run(*OTHER)
    (books.books / "Book_0__by__Author_Book_0.txt").unlink()
    books.run(*OTHER, "allow_deletes=true")
    claim = books.state / "claim.json"
    claim.write_text(claim.read_text().replace('"run_seq": 3', '"run_seq": 0'))
    client = books.client()
    body = {"script": "ctx._source.run_seq = 20", "query": {"match_all": {}}}
    client.update_by_query(index=first, body=body, refresh=True)
    options = [*books.index_options(), f"state.uri={books.state}"]
    run_in_process("rollback", options)
    assert titles(books) == {"Book 1", "Book 2"}
    assert '"run_seq": 21' in claim.read_text()


def test_a_document_that_another_program_changed_is_written_and_deleted(books: Project) -> None:
    books.run()
    client = books.client()
    changed = {document["title"]: book_id for book_id, document in books.documents().items()}
    for title in ("Book 0", "Book 1"):
        for words in range(5):  # each update raises the version
            client.update(index=books.index, id=changed[title], body={"doc": {"words": words}})
    client.delete(index=books.index, id=changed["Book 2"], version=50, version_type="external_gte")
    for number in (1, 2):
        write_book(books.books, f"Book_{number}", "has another end").touch()
    (books.books / "Book_0__by__Author_Book_0.txt").unlink()
    record = books.run("allow_deletes=true")
    assert (record["indexed"], record["failed"], record["removed"]) == (2, 0, 1)
    assert all("another end" in document["summary"] for document in books.documents().values())
    assert titles(books) == {"Book 1", "Book 2"}


def test_a_private_alias_that_another_index_has_too_leads_to_its_own_index(books: Project) -> None:
    physical, client = books.run()["index"], books.client().indices
    other, alias = f"{books.index}-other", f"{physical}-write"
    client.create(index=other)
    client.put_alias(index=other, name=alias)
    client.put_alias(index=physical, name=alias, body={"is_write_index": False})
    write_book(books.books, "Another")
    assert books.run()["indexed"] == 1
    assert books.verify()["exit_code"] == 0

    client.put_alias(index=physical, name=alias, body={"is_write_index": False})
    client.put_alias(index=other, name=alias, body={"is_write_index": True})
    write_book(books.books, "Last")
    books.journal.take("reads")
    with pytest.raises(SetupError, match=f"the alias {alias}, .* belongs to {other}; remove"):
        books.run()
    assert books.journal.lines("reads") == [], "no book is read for an index that refuses it"
    assert books.client().count(index=other)["count"] == 0
    client.delete_alias(index=other, name=alias)
    assert books.run()["indexed"] == 1
