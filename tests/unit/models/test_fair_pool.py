from __future__ import annotations

import pickle  # noqa: TID251
import subprocess
import sys
import threading
import time
from functools import partial

import pytest

from raypipe.models.calling import fair_pool as fair_pool_module
from raypipe.models.calling.fair_pool import FairThreadPool


def test_a_small_group_does_not_wait_for_a_large_one() -> None:
    pool, began, gate = FairThreadPool(1), threading.Event(), threading.Event()
    order: list[str] = []

    def first() -> None:
        began.set()
        gate.wait(5)

    calls = [pool.submit("large", first)]
    assert began.wait(5)
    for group, count in (("large", 20), ("small", 2)):
        for n in range(count):
            calls.append(pool.submit(group, partial(order.append, f"{group} {n}")))
    gate.set()
    for call in calls:
        call.result(5)
    assert order[:5] == ["small 0", "large 0", "small 1", "large 1", "large 2"]
    assert [name for name in order if "large" in name] == [f"large {n}" for n in range(20)]


def test_a_group_is_as_old_as_its_first_task_and_a_few_old_groups_take_turns() -> None:
    pool, began, gate = FairThreadPool(1), threading.Event(), threading.Event()
    order: list[str] = []

    def first() -> None:
        began.set()
        gate.wait(5)

    calls = [pool.submit("a", first)]
    assert began.wait(5)
    for _ in range(2):
        for group in "bcdef":
            calls.append(pool.submit(group, partial(order.append, group)))
    calls.append(pool.submit("a", partial(order.append, "a")))
    gate.set()
    for call in calls:
        call.result(5)
    assert "".join(order) == "bcdaebfcdef"


def test_the_number_of_known_groups_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fair_pool_module, "_MAX_KNOWN_GROUPS", 3)
    pool, gate = FairThreadPool(1), threading.Event()
    calls = [pool.submit("waits", gate.wait), pool.submit("waits", gate.wait)]
    calls += [pool.submit(f"{n}", bool) for n in range(50)]
    assert len(pool._groups) == 51, "all wait"
    gate.set()
    for call in calls:
        call.result(5)
    pool.submit("later", int).result(5)
    assert len(pool._groups) == 3


def test_as_many_tasks_run_at_a_time_as_there_are_threads() -> None:
    pool, together = FairThreadPool(3), threading.Barrier(3)
    calls = [pool.submit("a", lambda: together.wait(5)) for _ in range(6)]
    for call in calls:
        call.result(5)
    with pytest.raises(ValueError, match="at least 1"):
        FairThreadPool(0)


def test_threads_are_started_on_demand_and_reused() -> None:
    before = threading.active_count()
    pool = FairThreadPool(50)
    assert threading.active_count() == before
    names = {pool.submit("a", threading.get_ident).result(5)}
    for _ in range(20):
        _wait_until(lambda: pool._idle_threads == pool._running_threads)
        names.add(pool.submit("a", threading.get_ident).result(5))
    assert len(names) == 1


def test_idle_threads_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fair_pool_module, "_IDLE_S", 0.01)
    pool = FairThreadPool(2)
    pool.submit("a", int).result(5)
    _wait_until(lambda: pool._running_threads == 0)
    assert pool.submit("a", lambda: 7).result(5) == 7


def test_a_canceled_task_never_runs() -> None:
    pool, gate, ran = FairThreadPool(1), threading.Event(), list[int]()
    first = pool.submit("a", gate.wait)
    canceled = pool.submit("a", lambda: ran.append(1))
    assert canceled.cancel()
    last = pool.submit("a", lambda: ran.append(2))
    gate.set()
    first.result(5)
    last.result(5)
    assert ran == [2]


def test_an_exception_reaches_the_future_and_the_thread_continues() -> None:
    pool = FairThreadPool(1)
    with pytest.raises(KeyboardInterrupt):
        pool.submit("a", _raises).result(5)
    assert pool.submit("a", lambda: 1).result(5) == 1


def _raises() -> None:
    raise KeyboardInterrupt


def test_a_pickled_pool_arrives_empty() -> None:
    pool = FairThreadPool(3)
    pool.submit("a", int).result(5)
    copy = pickle.loads(pickle.dumps(pool))
    assert copy.threads == 3
    assert copy.submit("a", lambda: 1).result(5) == 1


def test_an_exiting_interpreter_does_not_wait_for_the_threads() -> None:
    code = (
        "import threading\n"
        "from raypipe.models.calling.fair_pool import FairThreadPool\n"
        "pool = FairThreadPool(2)\n"
        "began = threading.Event()\n"
        "pool.submit('a', lambda: (began.set(), threading.Event().wait()))\n"
        "began.wait(); print('done')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=30, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def _wait_until(is_true: object) -> None:
    assert callable(is_true)
    end = time.monotonic() + 5
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.002)
