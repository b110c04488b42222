"""The served index is never replaced, deleted or emptied by accident."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import pytest

from raypipe.core.errors import OptionError, SetupError
from tests.integration.raypipe_command import Project, run_in_process, write_book

BOOKS = 3
FORGOTTEN = [
    ["summarizer=extractive"],
    ["summarizer=extractive", "embedder=wordllama"],
    ["embedder=wordllama"],
    ["embedder.dimension=63"],
    ["summarizer=extractive", "purge=true"],
    ["embedder=wordllama", "purge=true"],
    ["summarizer=extractive", "index.mode=alias"],
    ["summarizer=extractive", "index.mode=inplace"],
    ["summarizer=extractive", "adopt=true"],
    ["summarizer=extractive", "limit=0"],
    ["summarizer=extractive", "checkpoint=none"],
    ["summarizer=extractive", "upgrade=true"],
    ["state.uri={folder}/mistyped"],
    ["state.uri={folder}/mistyped", "summarizer=extractive"],
    ["state.uri={folder}/mistyped", "purge=true"],
    ["storage.path={folder}/mistyped"],
    ["storage.prefix=Bok"],
    ["storage.suffixes=[.text]"],
    ["opensearch.index=mistyped{index}", "limit=0"],
    ["opensearch.endpoint=http://127.0.0.1:1"],
]
"""Options that a person forgot (the default stands in their place) or mistyped."""


@pytest.fixture
def books(project: Project) -> Project:
    for number in range(BOOKS):
        write_book(project.books, f"Book_{number:02d}")
    return project


def index_args(books: Project, *more: str) -> list[str]:
    """Return the options of `raypipe index` without those of the parts that made the documents."""
    return [
        *books.index_options(), f"state.uri={books.state}", "executor=local", "output=json", *more
    ]  # fmt: skip


def with_summarizer(books: Project, name: str) -> list[str]:
    """Return the options of a run with another summarizer."""
    own = ("summarizer", "+summarizer")
    others = [arg for arg in books.run_options() if not arg.startswith(own)]
    return [*others, f"summarizer={name}"]


def physical_indices(books: Project) -> set[str]:
    return set(books.client().indices.get(index=f"{books.index}-2*"))


def served(books: Project) -> str:
    return next(iter(books.client().indices.get_alias(name=books.index)))


def makers(books: Project) -> set[tuple[str, str]]:
    return {(cell["summarizer"], cell["embedder"]) for cell in books.documents().values()}


def run_json(books: Project, command: str, *more: str) -> dict[str, Any]:
    args = [f"state.uri={books.state}", *books.index_options()[:3], "output=json", *more]
    report: dict[str, Any] = json.loads(run_in_process(command, args))
    return report


def write_metadata(books: Project, physical: str, **values: object) -> None:
    """Change raypipe's metadata of an index; None removes a value."""
    client = books.client()
    [body] = client.indices.get_mapping(index=physical).values()
    meta = {**body["mappings"]["_meta"]["raypipe"], **values}
    meta = {name: value for name, value in meta.items() if value is not None}
    client.indices.put_mapping(index=physical, body={"_meta": {"raypipe": meta}})


def test_index_without_options_takes_the_served_recipe_and_names_it(books: Project) -> None:
    first = books.run()["index"]
    out = books.command("index", *index_args(books))
    second = json.loads(out)
    assert (second["indexed"], second["served"]) == (BOOKS, second["index"])
    assert second["index"] != first
    assert makers(books) == {("lead", "hash")}
    assert re.search(r"indexing the documents by lead and hash \(.*served\)", books.stderr())
    assert run_json(books, "rollback")["index"] == first


def test_index_without_options_or_an_index_takes_the_newest_recipe(books: Project) -> None:
    books.run("opensearch=none")
    books.run("opensearch=none", "summarizer.words=7")
    record = json.loads(books.command("index", *index_args(books)))
    assert record["indexed"] == BOOKS
    assert {len(cell["summary"].split()) for cell in books.documents().values()} == {7}


def test_other_parts_replace_an_index_only_if_asked_to(books: Project) -> None:
    before = books.run()["index"]
    args = with_summarizer(books, "extractive")
    with pytest.raises(OptionError, match=r"summarizer lead, this run has extractive.*replace="):
        books.run(args=args)
    books.command("run", "-m", *args, "limit=1,2", code=2)
    assert books.stderr().count("lead and hash; this run makes extractive and hash") == 2
    assert (served(books), physical_indices(books)) == (before, {before})

    plan = json.loads(run_in_process("plan", args))
    assert plan["replaces"]["index"] == before
    assert not plan["may_replace"]
    record = books.run("replace=true", args=args)
    assert record["served"] == record["index"] != before
    assert makers(books) == {("extractive", "hash")}


def test_an_index_of_an_older_raypipe_is_compared_by_its_documents(books: Project) -> None:
    before = books.run()["index"]
    write_metadata(books, before, summarizer=None, embedder_name=None)
    with pytest.raises(OptionError, match="summarizer lead, this run has extractive"):
        books.run(args=with_summarizer(books, "extractive"))
    assert books.run()["skipped"] == BOOKS


def test_forgotten_and_mistyped_options_replace_and_delete_nothing(books: Project) -> None:
    """The figure "served by accident" of the issue: 20 commands, 0 replaced, 0 deleted."""
    before = books.run()["index"]
    documents = books.documents()
    assert len(FORGOTTEN) == 20
    for options in FORGOTTEN:
        filled = [text.format(folder=books.folder, index=books.index) for text in options]
        args = books.run_options()
        if "summarizer=extractive" in filled:
            args = with_summarizer(books, "extractive")
        if any(option.startswith("embedder=") for option in filled):
            args = [arg for arg in args if not arg.startswith("embedder")]
        with contextlib.suppress(OptionError, SetupError):
            run_in_process("run", [*args, *filled], None)
        state = (served(books), physical_indices(books), books.documents())
        assert state == (before, {before}, documents), options
    books.client().indices.delete(index=f"mistyped{books.index}*", ignore=[404])


def test_after_a_rollback_a_new_index_keeps_the_index_that_was_served(books: Project) -> None:
    first = books.run()["index"]
    second = books.run("summarizer.words=7")["index"]
    assert run_json(books, "rollback")["index"] == first
    third = books.run(command="index", args=[*books.run_options()])["index"]
    assert physical_indices(books) == {first, third}, "the second was not served last"
    assert second not in physical_indices(books)
    assert run_json(books, "rollback")["index"] == first
    assert run_json(books, "rollback")["index"] == third, "a rollback can be taken back"


def test_an_index_with_an_alias_of_the_user_is_never_deleted(books: Project) -> None:
    first = books.run()["index"]
    client = books.client()
    client.indices.put_alias(index=first, name="books-production")
    for words in (7, 8, 9):
        books.run(f"summarizer.words={words}")
    assert first in physical_indices(books)
    gc = json.loads(run_in_process("gc", [*index_gc_args(books), "keep=0"]))
    assert first not in gc["indices"] + gc["unrecorded"]

    client.indices.put_alias(index=served(books), name="books-production")
    with pytest.raises(SetupError, match="has the alias books-production"):
        books.run("summarizer.words=9", "purge=true")
    assert first in physical_indices(books)


def index_gc_args(books: Project) -> list[str]:
    return [f"state.uri={books.state}", *books.index_options()[:3], "output=json"]


def test_indices_without_a_history_are_removed_by_name_only(books: Project) -> None:
    first = books.run()["index"]
    second = books.run("summarizer.words=7")["index"]
    for physical in (first, second):  # as an older raypipe made them
        write_metadata(books, physical, served=None)
    third = books.run("summarizer.words=8")["index"]
    assert physical_indices(books) == {first, second, third}
    args = [*index_gc_args(books), "keep=0", "apply=true"]
    assert json.loads(run_in_process("gc", args))["indices"] == [second]
    report = json.loads(run_in_process("gc", [*args, f"indices=[{first}]"]))
    assert (report["indices"], report["unrecorded"]) == ([first], [])
    assert physical_indices(books) == {third}


def test_documents_that_were_deleted_behind_raypipe_come_back(books: Project) -> None:
    record = books.run()
    before = books.documents()
    lost = sorted(before)[0]
    client = books.client()
    client.delete(index=record["index"], id=lost, refresh=True)
    books.journal.take("reads")
    again = books.run()
    assert (again["indexed"], again["skipped"]) == (1, BOOKS - 1)
    assert books.journal.lines("reads") == []
    assert books.documents() == before
    assert books.run()["skipped"] == BOOKS

    client.delete_by_query(index=record["index"], body={"query": {"match_all": {}}}, refresh=True)
    assert books.run()["indexed"] == BOOKS
    assert books.journal.lines("reads") == []
    assert books.documents() == before
    assert books.verify()["exit_code"] == 0


def test_the_alias_of_a_build_is_never_another_index(books: Project) -> None:
    """A user's index `<index>-loading` was taken for an unfinished build, and deleted."""
    first = books.run()["index"]
    name = f"{books.index}-loading"
    with pytest.raises(OptionError, match=f"opensearch.index={name}: .*end with -loading"):
        books.run(f"opensearch.index={name}")
    other = f"{name}-20260101000000"
    books.client().indices.create(index=other, body={"aliases": {name: {}}})
    with pytest.raises(SetupError, match=f"{name} is raypipe's alias .* points at {other}"):
        books.run("summarizer.words=7")
    assert physical_indices(books) == {first}
    assert books.client().indices.exists(index=other)
    assert served(books) == first


def test_a_filter_of_the_served_alias_stays(books: Project) -> None:
    first = books.run()["index"]
    shown = {"term": {"key": sorted(path.name for path in books.books.iterdir())[0]}}
    books.client().indices.put_alias(index=first, name=books.index, body={"filter": shown})
    second = books.run("summarizer.words=7")["index"]
    assert (served(books), len(books.documents())) == (second, 1)
    run_json(books, "rollback")
    assert (served(books), len(books.documents())) == (first, 1)
    assert books.verify()["exit_code"] == 0


def test_an_index_of_another_state_is_replaced_by_a_new_index_only(books: Project) -> None:
    """With `adopt=true replace=true`, the documents of the served index were overwritten."""
    first = books.run()["index"]
    before = books.documents()
    args = [*with_summarizer(books, "extractive"), f"state.uri={books.folder}/new"]
    record = books.run("adopt=true", "replace=true", "limit=1", args=args)
    assert (record["served"], record["indexed"]) == (first, 1)
    assert (served(books), books.documents()) == (first, before)
    record = books.run("adopt=true", "replace=true", args=args)
    assert record["served"] == served(books) != first
    assert makers(books) == {("extractive", "hash")}
    assert first in physical_indices(books)


def test_a_plan_stops_where_the_run_would_stop(books: Project) -> None:
    first = books.run()["index"]
    other_state = f"state.uri={books.folder}/new"
    for command in ("plan", "run"):
        with pytest.raises(SetupError, match=r"belongs to the state .* adopt=true"):
            run_in_process(command, books.run_options(other_state))
    assert json.loads(run_in_process("plan", books.run_options(other_state, "adopt=true")))
    books.client().indices.close(index=first)
    for command in ("plan", "run"):
        with pytest.raises(SetupError, match=rf"the index is closed; .*POST /{first}/_open"):
            run_in_process(command, books.run_options())


def test_an_index_of_another_program_is_named_as_such_in_one_short_line(books: Project) -> None:
    client, foreign = books.client(), f"{books.index}-foreign"
    client.index(index=foreign, id="1", body={"mine": 1}, refresh=True)
    client.indices.put_alias(index=foreign, name=books.index)
    for command in ("plan", "run", "verify"):
        own = ("storage", "+storage", "opensearch", "state", "output")
        options = [arg for arg in books.run_options() if command != "verify" or arg.startswith(own)]
        with pytest.raises(SetupError, match=r"was not created by raypipe; set .*another"):
            run_in_process(command, options)
    with pytest.raises(SetupError, match=r"does not fit: .*; and \d+ more\. Build") as refused:
        books.run("adopt=true")
    assert len(str(refused.value)) < 1_000
    record = books.run("adopt=true", "index.mode=alias")
    assert record["served"] == served(books) == record["index"]
    assert client.count(index=foreign)["count"] == 1
