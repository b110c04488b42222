"""The Python API on real parts: in a thread, a running event loop, twice, and in a Ray session."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import raypipe
from raypipe.run.ray_data import ray_data_settings
from tests.integration.api_project import write_settings
from tests.integration.raypipe_command import Project, compose_config, run_in_process, write_book


@pytest.fixture
def books(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Return a project with three books and a settings file with its options."""
    for name in ("Kites", "Lamps", "Boats"):
        write_book(project.books, name)
    write_settings(project)
    monkeypatch.chdir(project.folder)
    return project


def test_a_run_a_search_and_a_verification(
    books: Project, capfd: pytest.CaptureFixture[str]
) -> None:
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    loggers = list(logging.getLogger().handlers)
    assert raypipe.plan().new == 3
    result = raypipe.run(limit=2)
    assert (result.listed, result.indexed, result.left, result.ok) == (3, 2, 1, True)
    assert result.state == str(books.state)
    saved = json.loads((books.state / "runs" / result.run_id / "run.json").read_text())
    assert {name: getattr(result, name) for name in saved} == saved
    assert raypipe.run().indexed == 1
    assert raypipe.run().skipped == 3, "a third run in this process finds nothing to do"
    hits = raypipe.search("the tale of Kites", limit=1)
    assert [hit.title for hit in hits] == ["Kites"]
    report = json.loads(run_in_process("verify", [*_shared(books), "output=json"]))
    verified = raypipe.verify()
    assert (verified.good, verified.ok, verified.pending) == (3, True, ())
    assert {name: getattr(verified, name) for name in report if report[name] != []} == {
        name: value for name, value in report.items() if value != []
    }
    assert {number: signal.getsignal(number) for number in handlers} == handlers
    assert logging.getLogger().handlers == loggers
    assert not (books.folder / "processing.log").exists()
    assert capfd.readouterr().out == "", "the API prints nothing"


def _shared(books: Project) -> list[str]:
    source = ["storage=local", f"storage.path={books.books}", "embedder=hash"]
    return [*source, *books.index_options(), f"state.uri={books.state}"]


def test_failed_books_are_a_result(books: Project) -> None:
    (books.books / "empty.txt").write_text("")
    result = raypipe.run(opensearch="none")
    assert (result.failed, result.finished, result.exit_code, result.ok) == (1, 3, 3, False)
    (failure,) = raypipe.failures()
    assert (failure.key, failure.kind, failure.stage) == ("empty.txt", "empty", "text")
    assert failure.advice == "the book has no text; remove it, or add the text"
    (books.books / "empty.txt").unlink()
    raypipe.run(opensearch="none", allow_deletes=True)
    assert raypipe.failures(books.state)[0].key == "empty.txt", "no run has resolved it"


def test_a_call_that_cannot_be_carried_out_raises_the_line_of_the_command(books: Project) -> None:
    with pytest.raises(raypipe.errors.SetupError, match="`raypipe run` makes it"):
        raypipe.verify()
    with pytest.raises(raypipe.errors.SetupError, match="`raypipe run` creates it"):
        raypipe.search("kites")
    with pytest.raises(raypipe.errors.StateError, match="there is no state at"):
        raypipe.read_documents()
    with pytest.raises(raypipe.errors.SetupError, match=r"storage.path=.*is not a folder"):
        raypipe.run(storage__path=books.folder / "nowhere")
    from raypipe.ledger.writer_lock import WriterLock
    from raypipe.state.local import LocalState

    with (
        WriterLock.acquire(LocalState(str(books.state))),
        pytest.raises(raypipe.errors.StateInUseError, match="another raypipe writes"),
    ):
        raypipe.run(opensearch="none")


def test_it_works_in_a_thread_and_can_be_stopped_from_another(books: Project) -> None:
    stop = threading.Event()
    stop.set()
    with ThreadPoolExecutor() as pool:
        stopped = pool.submit(raypipe.run, opensearch="none", stop=stop).result()
        assert (stopped.status, stopped.exit_code) == ("stopped", 4)
        assert stopped.reason == "asked to stop by the caller's event"
        assert stopped.finished + stopped.left == 3
        states = [books.folder / "s1", books.folder / "s2"]
        runs = [pool.submit(raypipe.run, opensearch="none", state__uri=uri) for uri in states]
        assert [run.result().finished for run in runs] == [3, 3]


def test_it_works_where_an_event_loop_runs(books: Project) -> None:
    async def cell() -> Any:
        return raypipe.run(opensearch="none")

    assert asyncio.run(cell()).finished == 3


def test_a_composed_config_is_accepted(books: Project) -> None:
    args = [*_shared(books), "summarizer=lead", "executor=local", "stages.summarize.workers=1"]
    cfg = compose_config("run", args)
    assert raypipe.run(cfg).indexed == 3
    assert raypipe.read_documents(cfg).num_rows == 3
    assert len(raypipe.search("Lamps", cfg)) == 3


def test_each_book_is_read_once_although_the_state_has_several_documents(books: Project) -> None:
    raypipe.run(opensearch="none")
    raypipe.run(opensearch="none", embedder__dimension=32)
    write_book(books.books, "Kites", "has quite another ending")
    raypipe.run(opensearch="none")
    parts = sorted((books.state / "documents").rglob("*.parquet"))
    assert sum(pq.read_metadata(part).num_rows for part in parts) == 7
    table = raypipe.read_documents(books.state)
    assert sorted(table["title"].to_pylist()) == ["Boats", "Kites", "Lamps"]
    assert {len(vector) for vector in table["summary_vector"].to_pylist()} == {64, 32}
    recipe = next(row["document_recipe"] for row in table.to_pylist() if row["title"] == "Boats")
    (books.books / "Lamps__by__Author_Lamps.txt").unlink()
    raypipe.run(opensearch="none", allow_deletes=True)
    one = raypipe.read_documents(books.state, ["title", "summary"], recipe=recipe[:8])
    assert one.column_names == ["title", "summary"]
    assert sorted(one["title"].to_pylist()) == ["Boats", "Kites"], "a deleted book is left out"
    result = raypipe.export("books.jsonl", columns=["title"])
    assert (result.documents, result.format) == (2, "jsonl")
    assert sorted(Path("books.jsonl").read_text().splitlines()) == [
        '{"title":"Boats"}',
        '{"title":"Kites"}',
    ]


def test_a_ray_session_of_the_caller_is_used_and_kept(
    books: Project, shared_ray: None, capsys: pytest.CaptureFixture[str]
) -> None:
    import ray
    from ray.data import DataContext

    context = DataContext.get_current()
    block_size, bars = context.target_max_block_size, context.enable_progress_bars
    node = ray.get_runtime_context().get_node_id()
    env = dict(os.environ)
    with ThreadPoolExecutor() as pool:  # Hydra and Ray from a thread
        result = pool.submit(raypipe.run, opensearch="none", executor="ray").result()
    assert result.finished == 3
    assert ray.get_runtime_context().get_node_id() == node
    assert DataContext.get_current() is context
    assert (context.target_max_block_size, context.enable_progress_bars) == (block_size, bars)
    assert dict(os.environ) == env
    dataset = raypipe.read_dataset(columns=["title", "words"])
    assert sorted(row["title"] for row in dataset.take_all()) == ["Boats", "Kites", "Lamps"]
    assert raypipe.read_dataset(columns=["title"], recipe=None).count() == 3


def test_settings_of_ray_data_are_restored_after_the_last_of_two_runs() -> None:
    from ray.data import DataContext

    before = DataContext.get_current()
    with contextlib.ExitStack() as first, contextlib.ExitStack() as second:
        first.enter_context(ray_data_settings())
        own = DataContext.get_current()
        second.enter_context(ray_data_settings())
        assert DataContext.get_current() is own
        assert own is not before
        first.close()
        assert DataContext.get_current() is own
    assert DataContext.get_current() is before
