"""The usage of a state is summed up from logs; answers are read only where logs are missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from raypipe.core.errors import SetupError
from raypipe.ledger import answer_cache, usage, usage_log
from raypipe.ledger.answer_cache import AnswerCache, cache_key
from raypipe.ledger.call_usage import CallUsage
from raypipe.ledger.run_records import RunRecord
from raypipe.ledger.state_copy import StateCopy
from raypipe.ledger.usage import (
    SUMS,
    USAGE_SCHEMA,
    ModelUsage,
    mark_run,
    usage_by_model,
)
from raypipe.ledger.writer_lock import WriterLock
from raypipe.state.local import LocalState
from raypipe.state.parquet_table import ParquetTable
from raypipe.state.store import state_id


class RecordingState(LocalState):
    def get(self, name: str) -> bytes | None:
        READ_NAMES.append(name)
        return super().get(name)

    def list(self, prefix: str = "") -> Any:
        READ_NAMES.append(prefix)
        return super().list(prefix)


READ_NAMES: list[str] = []


def cache_reads() -> list[str]:
    return [name for name in READ_NAMES if name.startswith("cache/")]


@pytest.fixture(autouse=True)
def no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def state(tmp_path: Path) -> LocalState:
    READ_NAMES.clear()
    return RecordingState(str(tmp_path / "state"))


def cache_answer(
    state: LocalState, book: str, prompt: str, model: str, tokens: tuple[int, int]
) -> None:
    key = cache_key({"operation": "chat", "model": model, "body": prompt})
    answers = AnswerCache(state).group(book)
    answers.put(key, {"text": prompt}, CallUsage("chat", model, *tokens), dict)


def cache_unlogged_answer(
    state: LocalState, book: str, prompt: str, model: str, tokens: tuple[int, int]
) -> None:
    """Cache an answer as a raypipe did that had no logs."""
    key = cache_key({"operation": "chat", "model": model, "body": prompt})
    entry = answer_cache._encode_entry(key, CallUsage("chat", model, *tokens), {"text": prompt})
    assert "log" not in json.loads(entry)
    state.put(f"cache/{book}/{key}.json", entry)


def test_an_empty_cache_has_no_usage(state: LocalState) -> None:
    assert usage_by_model(state, 1) == []
    assert usage_by_model(state, 2) == []


def test_tokens_are_summed_by_model_lost_answers_included(state: LocalState) -> None:
    cache_answer(state, "aa", "one", "m", (10, 1))
    cache_answer(state, "aa", "two", "n", (20, 2))
    cache_answer(state, "bb", "three", "m", (30, 3))
    AnswerCache(state).group("bb").record_usage("0" * 64, CallUsage("chat", "m", 100, 7))
    assert usage_by_model(state, 1) == [ModelUsage("m", 140, 11), ModelUsage("n", 20, 2)]


def test_a_run_lists_and_reads_no_answers(state: LocalState) -> None:
    cache_answer(state, "aa", "one", "m", (10, 1))
    usage_by_model(state, 1)
    cache_answer(state, "bb", "two", "n", (5, 5))
    READ_NAMES.clear()
    assert usage_by_model(state, 2) == [ModelUsage("m", 10, 1), ModelUsage("n", 5, 5)]
    assert usage_by_model(state, 3) == [ModelUsage("m", 10, 1), ModelUsage("n", 5, 5)]
    assert cache_reads() == []
    assert state.list("usage/log-") == []


def test_answers_without_logs_are_read_once(state: LocalState) -> None:
    cache_unlogged_answer(state, "aa", "one", "m", (10, 1))
    cache_answer(state, "aa", "two", "m", (20, 2))
    assert usage_by_model(state, 1) == [ModelUsage("m", 30, 3)]
    READ_NAMES.clear()
    cache_answer(state, "aa", "three", "m", (30, 3))
    assert usage_by_model(state, 2) == [ModelUsage("m", 60, 6)]
    assert cache_reads() == []


def test_sums_of_groups_by_an_older_raypipe_are_used(state: LocalState) -> None:
    cache_unlogged_answer(state, "aa", "one", "m", (10, 1))
    cache_unlogged_answer(state, "bb", "two", "m", (20, 2))
    rows = [("aa", "m", 1, 11, 1, 1), ("bb", "m", 7, 1000, 1000, 1)]
    table = ParquetTable(state, "usage", usage._SCHEMA, keys=("group", "model"))
    cells = [dict(zip(USAGE_SCHEMA.names, row, strict=True)) for row in rows]
    table.write(pa.Table.from_pylist(cells, schema=USAGE_SCHEMA), 1, "usage", 0)
    assert usage_by_model(state, 2) == [ModelUsage("m", 31, 3)]
    assert {name.split("/")[1] for name in cache_reads() if name.endswith(".json")} == {"bb"}


def test_a_later_run_of_an_older_raypipe_is_counted(state: LocalState) -> None:
    mark_run(state, 1)
    cache_answer(state, "aa", "one", "m", (10, 1))
    usage_by_model(state, 1)
    cache_unlogged_answer(state, "aa", "two", "m", (20, 2))
    RunRecord("20261127T000000Z-0002", 2, status="done", model_calls=1).save(state)
    RunRecord("20261127T000001Z-0003", 3, status="done").save(state)
    mark_run(state, 4)
    assert usage_by_model(state, 4) == [ModelUsage("m", 30, 3)]
    mark_run(state, 5)
    READ_NAMES.clear()
    assert usage_by_model(state, 5) == [ModelUsage("m", 30, 3)]
    assert cache_reads() == []


def test_a_state_whose_runs_all_have_logs_lists_no_answers(state: LocalState) -> None:
    mark_run(state, 1)
    cache_answer(state, "aa", "one", "m", (10, 1))
    RunRecord("20261127T000000Z-0002", 2, status="done").save(state)
    mark_run(state, 3)
    READ_NAMES.clear()
    assert usage_by_model(state, 3) == [ModelUsage("m", 10, 1)]
    assert cache_reads() == []


def test_a_run_without_a_record_may_have_made_calls(state: LocalState) -> None:
    mark_run(state, 1)
    cache_unlogged_answer(state, "aa", "one", "m", (10, 1))  # by run 2, which was killed
    mark_run(state, 3)
    assert usage_by_model(state, 3) == [ModelUsage("m", 10, 1)]


@pytest.mark.parametrize("damage", [None, b"", b"{", b"[]", b'{"version": "x"}', b"[" * 100_000])
def test_without_its_sums_a_state_counts_all_answers_once(
    state: LocalState, damage: bytes | None
) -> None:
    cache_unlogged_answer(state, "aa", "one", "m", (1, 0))
    cache_answer(state, "aa", "two", "m", (10, 0))
    usage_by_model(state, 1)
    cache_answer(state, "aa", "three", "m", (100, 0))
    if damage is None:
        state.delete([SUMS])
    else:
        state.put(SUMS, damage)
    assert usage_by_model(state, 2) == [ModelUsage("m", 111, 0)]
    assert usage_by_model(state, 3) == [ModelUsage("m", 111, 0)]


def test_sums_of_a_newer_raypipe_are_an_error(state: LocalState) -> None:
    state.put(SUMS, b'{"version": 2}')
    with pytest.raises(SetupError, match=r"written by a newer raypipe \(version 2\)"):
        usage_by_model(state, 1)


def test_a_damaged_log_does_not_end_the_run(
    state: LocalState, caplog: pytest.LogCaptureFixture
) -> None:
    for number, data in enumerate((b"", b"[]", b'{"version": 1, "models": {"m": [1, -5, 0]}}')):
        state.put(f"usage/log-{number}.json", data)
    cache_answer(state, "aa", "one", "m", (10, 1))
    assert usage_by_model(state, 1) == [ModelUsage("m", 10, 1)]
    assert caplog.text.count("damaged or foreign") == 3


class Killed(BaseException):
    """The process ends here."""


class KilledState(LocalState):
    """Ends the process before, or after, the write number `at`."""

    def __init__(self, root: str, at: int, *, is_after: bool) -> None:
        super().__init__(root)
        vars(self).update(at=at, is_after=is_after, writes=0)

    def _write(self, name: str, *rest: Any) -> str | None:
        vars(self)["writes"] += 1
        is_here = vars(self)["writes"] == vars(self)["at"]
        if is_here and not vars(self)["is_after"]:
            raise Killed
        tag = super()._write(name, *rest)
        if is_here:
            raise Killed
        return tag

    def delete(self, names: Any) -> None:
        self._write("usage/none", b"", True, lambda *_: False)
        super().delete(names)


@pytest.mark.parametrize("is_after", [False, True])
def test_after_a_kill_at_any_write_each_call_counts_once(tmp_path: Path, is_after: bool) -> None:
    kills = 0
    for at in range(1, 22):
        state = LocalState(str(tmp_path / f"{is_after}-{at}"))
        usage_by_model(state, 1)
        cache_answer(state, "aa", "one", "m", (1, 0))
        killed, paid = KilledState(state.root, at, is_after=is_after), 1
        try:
            usage_by_model(killed, 2)
            for number in range(3):
                paid += 10
                cache_answer(killed, "aa", f"{number}", "m", (10, 0))
            usage_by_model(killed, 3)
        except Killed:
            kills += 1
        kept = len(state.list("cache/"))
        [summed] = usage_by_model(state, 4)
        # The last call may have been paid for without an answer that was kept.
        assert 1 + 10 * (kept - 1) <= summed.input_tokens <= paid, at
        assert usage_by_model(state, 5) == [summed]
    assert 10 < kills < 21


def test_a_process_that_outlives_its_run_is_counted_once(state: LocalState) -> None:
    cache_answer(state, "aa", "one", "m", (1, 0))
    for number in range(2, 6):  # each run closes the log of the process, and deletes it
        assert usage_by_model(state, number) == [ModelUsage("m", 10 ** (number - 1) // 9, 0)]
        cache_answer(state, "aa", str(number), "m", (10 ** (number - 1), 0))


def test_a_log_closed_between_two_calls_is_left_as_it_is(state: LocalState) -> None:
    cache_answer(state, "aa", "one", "m", (1, 0))
    closed = usage_log.close_logs(state, ())
    cache_answer(state, "aa", "two", "m", (10, 0))
    cache_answer(state, "aa", "three", "m", (100, 0))
    assert [sums.models["m"] for sums in closed.values()] == [(1, 1, 0)]
    assert len(usage_log.list_logs(state)) == 2
    assert usage_log.close_logs(state, ()).items() >= closed.items()
    assert usage_by_model(state, 2) == [ModelUsage("m", 111, 0)]


def test_calls_at_the_same_time_share_a_write_and_all_count(
    state: LocalState, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes, all_recorded = [], threading.Event()
    write = LocalState._write

    def slow_write(self: LocalState, name: str, *rest: Any) -> str | None:
        if name.startswith("usage/log-"):
            writes.append(name)
            all_recorded.wait(5)
        return write(self, name, *rest)

    monkeypatch.setattr(LocalState, "_write", slow_write)
    threads = [
        threading.Thread(target=usage_log.record_call, args=(state, "m", 1, 2)) for _ in range(40)
    ]
    for thread in threads:
        thread.start()
    while usage_log._log_of(state, os.getpid())._recorded < len(threads):
        pass
    all_recorded.set()
    for thread in threads:
        thread.join()
    assert len(writes) == 2
    assert usage_by_model(state, 1) == [ModelUsage("m", 40, 80)]


def test_each_process_has_its_log(state: LocalState) -> None:
    code = (
        "import os\n"
        "from raypipe.ledger.usage_log import record_call\n"
        "from raypipe.state.local import LocalState\n"
        f"state = LocalState({state.root!r})\n"
        "record_call(state, 'm', 1, 0)\n"
        "child = os.fork()\n"
        "record_call(state, 'm', 10 if child else 100, 0)\n"
        "if child: os.waitpid(child, 0)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert len(state.list("usage/log-")) == 2
    assert usage_by_model(state, 1) == [ModelUsage("m", 111, 0)]


def test_a_copy_of_a_state_counts_the_same(state: LocalState, tmp_path: Path) -> None:
    state_id(state)
    with WriterLock.acquire(state):
        cache_unlogged_answer(state, "aa", "one", "m", (1, 0))
        cache_answer(state, "aa", "two", "m", (10, 0))
    target = LocalState(str(tmp_path / "copy"))
    StateCopy(state, target, sleep=lambda _: None).run()
    usage_by_model(state, 2)  # adds the log, which the copy still has
    cache_answer(state, "aa", "three", "m", (100, 0))
    StateCopy(state, target, sleep=lambda _: None).run()
    assert usage_by_model(target, 3) == [ModelUsage("m", 111, 0)] == usage_by_model(state, 3)
