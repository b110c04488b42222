"""`status`, `failures`, `show`, `runs` and `doctor`: what they print, and their exit codes."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raypipe.cli.health_checks import OK, PROBLEM, WARNING, judge_cluster, judge_disk
from raypipe.ledger.checkpoint import Processed
from raypipe.ledger.facade import Ledger
from raypipe.ledger.failure_log import FailedBook
from raypipe.ledger.run_records import RunRecord
from raypipe.ledger.writer_lock import WriterLock
from raypipe.state.local import LocalState
from raypipe.state.store import state_id
from tests.unit.command_line import RunCommandLine
from tests.unit.opensearch.stub import PHYSICAL, Reply, Stub

pytestmark = pytest.mark.usefixtures("isolated_hydra", "no_services")

RECORDING = Path(__file__).parents[2] / "fixtures" / "state_3c73c8f"
COMMANDS = ("status", "failures", "runs", "show", "doctor")


@pytest.fixture
def state(tmp_path: Path) -> LocalState:
    state = LocalState(str(tmp_path / "state"))
    state_id(state)
    return state


def fail(key: str, kind: str, run_seq: int = 1, **values: Any) -> FailedBook:
    cells = {"book_id": f"id-{key}", "retryable": False, "attempts": 1, "failed_at": float(run_seq)}
    cells |= {"etag": "etag", "recipe": "recipe", "stage": "text", "message": f"{key}: why"}
    return FailedBook(**{**cells, **values}, key=key, kind=kind, run_seq=run_seq)


def test_failures_are_grouped_with_their_ways_out(
    state: LocalState, run_command_line: RunCommandLine
) -> None:
    rows = [fail(f"b{number}.txt", "binary", failed_at=float(number)) for number in range(4)]
    rows += [fail("m.txt", "model", retryable=True), fail("x\x1b[2J.txt", "archived", attempts=3)]
    rows += [fail("r.txt", "read", retryable=True, attempts=3), fail("ok.txt", "read")]
    Ledger(state).failures.append(rows, 1, "t", 0)
    done = Processed("id-ok.txt", "etag", "recipe", "index", "generation", 2, 9.0)
    Ledger(state).checkpoint.append([done], 2, "t", 0)
    before = sorted(state.list())
    code, out, err = run_command_line("failures", f"state.uri={state.root}")
    assert (code, err) == (3, "")
    lines = out.splitlines()
    assert lines[:5] == [
        "binary  4 books: the book is in no format that raypipe reads; convert it to one of them",
        "    b3.txt  (text, attempt 1, run 1): why",
        "    b2.txt  (text, attempt 1, run 1): why",
        "    b1.txt  (text, attempt 1, run 1): why",
        "    and 1 more; `raypipe failures binary limit=null` lists all",
    ]
    assert lines[-3:] == [
        "1 that `raypipe run` tries again",
        "1 that `raypipe retry` tries again",
        "5 that `raypipe retry all=true` tries again, and `raypipe run` once the book or the "
        "options change",
    ]
    assert "\x1b" not in out
    assert "ok.txt" not in out
    assert sorted(state.list()) == before, "nothing is written"
    code, out, _ = run_command_line("failures", "model", f"state.uri={state.root}", "output=json")
    report = json.loads(out)
    assert (code, report["failed"], report["kinds"][0]["books"]) == (3, 1, 1)
    assert report["failures"][0]["permanent"] is False


def test_a_wrong_kind_of_failure_and_no_failure(
    state: LocalState, run_command_line: RunCommandLine
) -> None:
    assert run_command_line("failures", f"state.uri={state.root}")[:2] == (0, "no book failed\n")
    code, _, err = run_command_line("failures", "binry", f"state.uri={state.root}")
    assert code == 2
    assert "did you mean binary?" in err


def test_a_book_that_a_run_without_an_index_finished_has_not_failed(
    old: LocalState,
) -> None:
    ledger = Ledger(old)
    newest = ledger.documents.read_newest(["book_id", "run_seq"]).to_pylist()[0]
    seq = newest["run_seq"] - 1
    failed = fail("k", "read", seq, book_id=newest["book_id"], retryable=True)
    for part in [name for name in old.list() if name.startswith(("processed/", "failures/"))]:
        old.delete([part])
    ledger.failures.append([failed], seq, "t", 0)
    assert len(ledger.unresolved_failures()) == 1
    assert ledger.failed_books() == []


@pytest.fixture
def old(tmp_path: Path) -> LocalState:
    shutil.copytree(RECORDING / "state", tmp_path / "old")
    return LocalState(str(tmp_path / "old"))


def test_status_and_runs_of_an_older_state(
    old: LocalState, run_command_line: RunCommandLine
) -> None:
    code, out, err = run_command_line("runs", f"state.uri={old.root}", "output=json")
    runs = json.loads(out)["runs"]
    assert (code, err) == (0, "")
    assert [run["run_seq"] for run in runs] == [5, 4, 3, 2, 1]
    code, out, _ = run_command_line("runs", f"state.uri={old.root}", "limit=2")
    assert len([line for line in out.splitlines() if line.startswith("2026")]) >= 2
    for run in runs:
        code, out, _ = run_command_line("status", str(run["run_seq"]), f"state.uri={old.root}")
        assert code == run["exit_code"]
        assert out.startswith(f"run     {run['run_id']}: {run['status']}\n")
    code, _, err = run_command_line("status", "run=77", f"state.uri={old.root}")
    assert code == 2
    assert "run=77: there is no such run; the newest are" in err


def test_status_of_a_run_that_writes(state: LocalState, run_command_line: RunCommandLine) -> None:
    code, out, _ = run_command_line("status", f"state.uri={state.root}")
    assert (code, out) == (0, "no run has begun in this state; `raypipe run` begins one\n")
    with WriterLock.acquire(state) as lock:
        code, out, _ = run_command_line("status", f"state.uri={state.root}")
        assert code == 0
        assert "it has recorded no progress yet" in out
        progress: dict[str, Any] = {"run_id": "20261128T100217Z-0001", "at": "2026-11-28T10:02:17Z"}
        progress |= {"listed": 100, "done": 10, "failed": 2, "left": 88, "rate_per_s": 2.5}
        progress |= {"calls": 40, "estimated_calls": 400, "eta_s": 90.0, "usd": 1.5}
        progress |= {"tokens": {"input": 1000, "output": 10}, "failures": {"model": 2}}
        name = f"runs/{progress['run_id']}/progress.json"
        state.put(name, json.dumps(progress).encode())
        code, out, _ = run_command_line("status", f"state.uri={state.root}")
        assert code == 0
        assert f"run     {progress['run_id']}: running on " in out
        assert "books   listed 100 · todo unknown · done 10 · failed 2 · left 88\n" in out
        assert "rate    2.50 books a second; the end is in 1.5 minutes\n" in out
        assert "40 of about 400 calls, 1,000 tokens in, 10 out, $1.50\n" in out
        assert "failing 2 model\n" in out
        assert run_command_line("runs", f"state.uri={state.root}")[0] == 0
        lock.check()
    code, out, _ = run_command_line("status", f"state.uri={state.root}")
    assert code == 4
    assert "killed" in out
    assert "run again to continue" in out


def test_status_returns_the_exit_code_of_the_run(
    state: LocalState, run_command_line: RunCommandLine
) -> None:
    RunRecord("20261128T100217Z-0001", 1, status="error", exit_code=1, reason="no key").save(state)
    code, out, _ = run_command_line("status", f"state.uri={state.root}")
    assert code == 1
    assert "reason  no key\n" in out


def test_a_damaged_record_hides_no_other_run(
    state: LocalState, run_command_line: RunCommandLine
) -> None:
    RunRecord("20261128T100217Z-0001", 1, status="done", exit_code=0).save(state)
    RunRecord("20261128T100317Z-0002", 2, status="done", exit_code=0).save(state)
    state.put("runs/20261128T100217Z-0001/run.json", b'{"of_a_newer_raypipe": 1}')
    code, out, _ = run_command_line("runs", f"state.uri={state.root}")
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines()[1:3]] == [
        ["20261128T100317Z-0002", "done"],
        ["20261128T100217Z-0001", "unreadable"],
    ]
    assert "runs/20261128T100217Z-0001/run.json in the state" in out.splitlines()[3]
    code, _, err = run_command_line("status", "1", f"state.uri={state.root}")
    assert (code, "is damaged or was written by a newer raypipe" in err) == (1, True)


def test_show_finds_a_book_by_key_id_and_part_of_its_key(
    old: LocalState, run_command_line: RunCommandLine
) -> None:
    newest = Ledger(old).documents.read_newest(["book_id", "key", "title"]).to_pylist()
    book = newest[0]
    for word in (book["key"], book["book_id"]):
        code, out, err = run_command_line("show", word, f"state.uri={old.root}")
        assert (code, err) == (0, "")
        assert out.startswith(f"book      {book['key']}: ")
        assert "`raypipe up` starts it" in out, "no service is started"
    args = ("show", book["key"], f"state.uri={old.root}", "opensearch=none", "output=json")
    shown = json.loads(run_command_line(*args)[1])["books"][0]
    assert shown["documents"][-1]["title"] == book["title"]
    assert "summary_vector" not in shown["documents"][-1]
    assert shown["status"] in ("indexed", "finished")
    assert shown["index"]["problem"] == "opensearch=none"


def test_show_explains_a_failed_book_and_an_unknown_one(
    state: LocalState, run_command_line: RunCommandLine
) -> None:
    Ledger(state).failures.append([fail("a/b1.txt", "binary"), fail("a/b2.txt", "read")], 1, "t", 0)
    code, out, _ = run_command_line("show", "B1", f"state.uri={state.root}")
    assert code == 3
    assert "book      a/b1.txt: failed\n" in out
    assert (
        "way out   the book is in no format that raypipe reads; convert it to one of them\n" in out
    )
    code, _, err = run_command_line("show", "a/", f"state.uri={state.root}")
    assert (code, "2 books fit a/; name one by its key: a/b1.txt, a/b2.txt" in err) == (1, True)
    code, _, err = run_command_line("show", "none", f"state.uri={state.root}")
    assert (code, "no run recorded a book none" in err) == (1, True)
    Ledger(state).failures.append([fail("caf\\xe9.txt", "binary")], 1, "t", 1)
    for word in ("caf\udce9.txt", "caf\\xe9.txt"):  # a file name in Latin-1, and its key
        code, out, _ = run_command_line("show", word, f"state.uri={state.root}")
        assert (code, "book      caf\\xe9.txt: failed\n" in out) == (3, True)
    code, _, err = run_command_line("show", f"state.uri={state.root}")
    assert (code, "name a book by its key" in err) == (2, True)


def test_doctor_finds_what_is_wrong(
    state: LocalState, run_command_line: RunCommandLine, tmp_path: Path
) -> None:
    args = ("doctor", f"state.uri={state.root}", "embedder=hash", "storage=local")
    before = sorted(state.list())
    code, out, err = run_command_line(*args, f"storage.path={tmp_path}", "output=json")
    levels = {each["name"]: each["level"] for each in json.loads(out)["findings"]}
    assert (code, err) == (0, "")
    assert levels == {
        **dict.fromkeys(("state", "disk", "storage", "summarizer", "embedder", "quota"), OK),
        "opensearch": WARNING,
    }
    assert sorted(state.list()) == before
    down = ("opensearch=self_managed", "opensearch.endpoint=http://127.0.0.1:9")
    code, out, _ = run_command_line(*args, f"storage.path={tmp_path / 'none'}", *down)
    problems = [line.split()[1] for line in out.splitlines() if line.startswith("problem")]
    assert (code, problems) == (1, ["storage", "opensearch"])


def test_doctor_finds_that_a_run_cannot_make_the_state(
    run_command_line: RunCommandLine, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    for place in ("file", "file/below"):
        args = ("doctor", f"state.uri={tmp_path / place}", "opensearch=none", "embedder=hash")
        code, out, _ = run_command_line(*args)
        finding = f"{tmp_path / 'file'} cannot be written; set state.uri to a folder"
        assert (code, out.startswith("problem  state"), finding in out) == (1, True, True)
    code, out, _ = run_command_line(*args[:1], f"state.uri={tmp_path / 'new'}", *args[2:])
    assert (code, out.startswith("warning  state"), (tmp_path / "new").exists()) == (0, True, False)


@pytest.fixture
def stub() -> Iterator[Stub]:
    server = Stub()
    server.paths |= {
        "/": Reply(body={"version": {"number": "3.5.0", "distribution": "opensearch"}}),
        "/_cat/plugins": Reply(body=[{"component": "opensearch-knn"}]),
        "/_cluster/health": Reply(body={"status": "yellow", "unassigned_shards": 2}),
        "/_cat/allocation": Reply(
            body=[
                {"node": "n1", "disk.percent": "93"},
                {"node": "n2", "disk.percent": "12"},
                {"node": "UNASSIGNED", "disk.percent": None},
            ]
        ),
        "/books": Reply(body={PHYSICAL: {"aliases": {"books": {}}, "mappings": {}}}),
        f"/{PHYSICAL}/_count": Reply(body={"count": 7, "_shards": {"failed": 0}}),
    }
    yield server
    server.close()


def test_doctor_asks_a_server_for_its_health(
    stub: Stub, state: LocalState, run_command_line: RunCommandLine
) -> None:
    server = (
        "opensearch=self_managed",
        f"opensearch.endpoint={stub.url}",
        "opensearch.index=books",
    )
    args = ("doctor", f"state.uri={state.root}", "embedder=hash", *server)
    code, out, _ = run_command_line(*args)
    lines = [line for line in out.splitlines() if line.split()[1] in ("cluster", "index")]
    assert code == 0
    assert lines == [
        "ok       cluster     its health is yellow, 2 replicas have no node",
        "warning  cluster     the disk of n1 is 93 % full; at 95 % its indices are read-only: add "
        "storage, or delete old indices (`raypipe gc`)",
        f"ok       index       books -> {PHYSICAL}, 7 documents",
    ]
    assert {request.method for request in stub.requests} <= {"GET", "POST"}
    hidden = Reply(403, {"error": {"type": "security_exception"}, "status": 403})
    stub.paths |= {"/_cluster/health": hidden, "/_cat/allocation": hidden}
    code, out, _ = run_command_line(*args)
    assert (code, "cluster     " in out) == (0, False)
    stub.paths["/_cluster/health"] = Reply(body=["odd"])
    code, out, _ = run_command_line(*args)
    assert (code, "problem  opensearch" in out) == (1, True)


def test_show_asks_the_served_index(
    stub: Stub, old: LocalState, run_command_line: RunCommandLine
) -> None:
    book = Ledger(old).documents.read_newest(["book_id", "key"]).to_pylist()[0]
    server = (
        "opensearch=self_managed",
        f"opensearch.endpoint={stub.url}",
        "opensearch.index=books",
    )
    args = ("show", book["key"], f"state.uri={old.root}", *server)
    code, out, _ = run_command_line(*args)
    assert code == 0
    assert f"in index  no: {PHYSICAL} lacks it; `raypipe run` or `raypipe index`" in out
    stub.docs[book["book_id"]] = (4, {"run_seq": 4, "key": book["key"]})
    assert f"in index  yes: {PHYSICAL}, written by run 4\n" in run_command_line(*args)[1]


@pytest.mark.parametrize("command", COMMANDS[:4])
def test_without_a_state_the_commands_say_so(
    command: str, run_command_line: RunCommandLine, tmp_path: Path
) -> None:
    words = ["b"] if command == "show" else []
    code, _, err = run_command_line(command, *words, f"state.uri={tmp_path / 'none'}")
    assert code == 1
    assert "there is no state at" in err
    assert not (tmp_path / "none").exists()


def test_disks_and_clusters_are_judged() -> None:
    assert judge_disk("/", 10**12, 10**11, 9 * 10**11).level == OK
    assert judge_disk("/", 10**12, 95 * 10**10, 5 * 10**10).level == WARNING
    assert judge_disk("/", 10**12, 999 * 10**9, 10**8).level == PROBLEM
    assert judge_cluster("green", 0).level == judge_cluster("yellow", 1).level == OK
    assert judge_cluster("red", 1).level == PROBLEM


def test_a_reading_command_shows_signs_of_life(
    state: LocalState,
    run_command_line: RunCommandLine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("FIRST_SIGN_S", "EVERY_S", "_TICK_S"):
        monkeypatch.setattr(f"raypipe.core.activity.{name}", 0.05)

    def read_slowly(_: Ledger) -> list[FailedBook]:
        time.sleep(0.2)
        return []

    monkeypatch.setattr(Ledger, "failed_books", read_slowly)
    code, out, err = run_command_line("failures", f"state.uri={state.root}")
    assert (code, out) == (0, "no book failed\n")
    assert "raypipe failures (0s)" in err
