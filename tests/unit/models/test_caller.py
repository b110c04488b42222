"""The cache and the quota around a call: what is kept, what is shared, who waits for whom."""

from __future__ import annotations

import json
import pickle  # noqa: TID251
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

import pytest

from raypipe.core.errors import BookError, BookLeftError
from raypipe.core.stop import never_stopped
from raypipe.ledger.answer_cache import list_entries, read_usage
from raypipe.models.calling.caller import ModelCaller
from raypipe.models.context import ModelContext
from raypipe.models.protocol import Answer, ModelError
from raypipe.state.local import LocalState
from raypipe.state.store import Names
from tests.unit.models.fakes import USAGE, FakeModel, FakePermits, ask

SOON_S = 5.0


class Listed(LocalState):
    """Writes down what is listed."""

    prefixes: list[str]

    def __init__(self, root: str) -> None:
        super().__init__(root)
        object.__setattr__(self, "prefixes", [])

    def list(self, prefix: str = "") -> Names:
        self.prefixes.append(prefix)
        return super().list(prefix)


@pytest.fixture
def state(tmp_path: Path) -> Listed:
    return Listed(str(tmp_path))


@pytest.fixture
def permits() -> FakePermits:
    return FakePermits()


@pytest.fixture
def caller(state: Listed, permits: FakePermits) -> ModelCaller:
    return ModelCaller(
        ModelContext(state, {"pool": permits}, max_in_flight=4), "pool", sleep=_no_sleep
    )


def _no_sleep(_: float) -> None:
    pass


def said(future: Future[Answer]) -> str:
    return future.result(SOON_S).text


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + SOON_S
    while not true():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_an_answer_is_paid_for_once(
    caller: ModelCaller, permits: FakePermits, state: Listed
) -> None:
    model = FakeModel()
    assert said(caller.submit("book", ask(model))) == "answer 1"
    again = ModelCaller(ModelContext(state, {"pool": permits}), "pool")
    answer = again.submit("book", ask(model)).result(SOON_S)
    assert (answer.text, answer.stop_reason, answer.usage) == ("answer 1", "end", USAGE)
    assert len(model.prompts) == 1
    assert permits.cached == 1
    assert [one.input_tokens for one in permits.spent.values()] == [USAGE.input_tokens]
    assert said(again.submit("book", ask(model, "how"))) == "answer 2"
    assert said(again.submit("book", ask(FakeModel(base_model="other")))) == "answer 1"


def test_the_lease_is_settled_with_what_the_server_counted(
    caller: ModelCaller, permits: FakePermits
) -> None:
    caller.submit("book", ask(FakeModel(), "x" * 300)).result(SOON_S)
    need, settled = permits.needs[0], permits.spent[1]
    assert need.input_tokens >= 300 / 3
    assert (need.max_tokens, need.is_retry) == (50, False)
    assert (settled.input_tokens, settled.output_tokens) == (100, 20)
    assert not settled.unknown


def test_without_a_state_every_call_is_made(permits: FakePermits) -> None:
    caller, model = ModelCaller(ModelContext(None, {"pool": permits}), "pool"), FakeModel()
    assert [said(caller.submit("book", ask(model))) for _ in range(2)] == ["answer 1", "answer 2"]


def test_without_a_quota_there_is_a_bound(state: Listed) -> None:
    at_once, most, lock = 0, 0, threading.Lock()

    def count(_: str) -> None:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.002)
        with lock:
            at_once -= 1

    caller = ModelCaller(ModelContext(state, max_in_flight=8), "pool", max_in_flight=3)
    model = FakeModel(before=count)
    wait([caller.submit("book", ask(model, f"{n}")) for n in range(12)], SOON_S)
    assert most == 3
    totals = caller.quota.totals()
    assert (totals.calls, totals.in_flight, totals.input_tokens) == (12, 0, 1200)


def test_one_listing_serves_the_calls_of_a_book_and_is_forgotten_after_them(
    caller: ModelCaller, state: Listed
) -> None:
    gate = threading.Event()
    model = FakeModel(before=lambda _: _waited(gate))
    calls = [caller.submit("book", ask(model, f"{n}")) for n in range(20)]
    assert caller._groups is not None
    assert len(caller._groups) == 1
    gate.set()
    wait(calls, SOON_S)
    assert state.prefixes == ["cache/book/"]
    until(lambda: len(caller._groups or "") == 0)


def _waited(gate: threading.Event) -> None:
    assert gate.wait(SOON_S)


@pytest.mark.parametrize("others", ["book", "another"])
def test_equal_calls_are_made_once(others: str, caller: ModelCaller, permits: FakePermits) -> None:
    gate = threading.Event()
    model = FakeModel(before=lambda _: _waited(gate))
    calls = [caller.submit(group, ask(model)) for group in ("book", others, others)]
    until(lambda: bool(model.prompts))
    gate.set()
    assert [said(one) for one in calls] == ["answer 1"] * 3
    assert (len(model.prompts), permits.cached) == (1, 2)


def test_who_waits_for_an_equal_call_that_failed_asks_for_itself(caller: ModelCaller) -> None:
    gate = threading.Event()
    bad = ModelError("ValidationException", "no", status=400)
    model = FakeModel([bad], before=lambda _: _waited(gate))
    first, second = (caller.submit("book", ask(model)) for _ in range(2))
    until(lambda: bool(model.prompts))
    gate.set()
    with pytest.raises(BookError):
        first.result(SOON_S)
    assert said(second) == "answer 2"


def test_a_canceled_call_is_not_made_and_who_waited_for_it_asks(state: Listed) -> None:
    caller = ModelCaller(ModelContext(state, max_in_flight=1), "pool")
    gate = threading.Event()
    model = FakeModel(before=lambda _: _waited(gate))
    first = caller.submit("book", ask(model, "first"))
    until(lambda: bool(model.prompts))
    leader, follower, alone = (caller.submit("book", ask(model, who)) for who in ("a", "a", "b"))
    assert leader.cancel()
    assert alone.cancel()
    assert wait([leader, alone], 1.0).not_done == set()  # they are told at once
    gate.set()
    assert (said(first), said(follower)) == ("answer 1", "answer 2")
    assert model.prompts == ["first", "a"]


def test_a_call_that_waits_for_the_quota_can_be_canceled(state: Listed) -> None:
    gate, settled = threading.Event(), FakePermits()

    class Slow(FakePermits):
        def acquire(self, need: Any, stop_check: Any = None) -> Any:
            lease = settled.acquire(need)
            _waited(gate)
            return lease

        def settle(self, lease: Any, spent: Any) -> None:
            settled.settle(lease, spent)

    caller, model = ModelCaller(ModelContext(state, {"pool": Slow()}), "pool"), FakeModel()
    call = caller.submit("book", ask(model))
    until(lambda: bool(settled.needs))
    assert call.cancel()
    gate.set()
    until(lambda: settled.balanced)
    assert model.prompts == []
    assert settled.spent[1].unknown is False


def test_what_is_paid_for_already_waits_for_no_quota(state: Listed) -> None:
    model, gate = FakeModel(), threading.Event()
    said(ModelCaller(ModelContext(state), "pool").submit("ready", ask(model)))
    caller = ModelCaller(ModelContext(state, max_in_flight=1), "pool")
    stuck = FakeModel(before=lambda _: _waited(gate))
    slow = [caller.submit("slow", ask(stuck, f"{n}")) for n in range(5)]
    until(lambda: bool(stuck.prompts))
    ready = caller.submit("ready", ask(model))
    assert ready.result(SOON_S / 2).text == "answer 1"  # before the others give up
    gate.set()
    wait(slow, SOON_S)


def test_what_may_not_be_kept_is_paid_again_and_its_usage_recorded(
    caller: ModelCaller, state: Listed
) -> None:
    model = FakeModel()
    for text in ("answer 1", "answer 2"):
        assert said(caller.submit("book", ask(model, keep=False))) == text
    bills = [bill for _, bill in read_usage(state, list_entries(state))]
    assert [(one.model, one.operation, one.input_tokens) for one in bills] == [
        ("fake-1", "chat", 100)
    ] * 2
    assert not any("answer" in json.loads(state.get(name) or b"") for name in state.list("cache/"))


def test_a_kept_answer_that_would_not_be_kept_today_is_replaced(
    caller: ModelCaller, state: Listed
) -> None:
    model = FakeModel()
    said(caller.submit("book", ask(model)))
    assert said(caller.submit("book", ask(model, keep=False))) == "answer 2"
    assert said(caller.submit("book", ask(model))) == "answer 1"


def test_the_first_answer_of_two_workers_counts(state: Listed, permits: FakePermits) -> None:
    callers = [ModelCaller(ModelContext(state, {"pool": permits}), "pool") for _ in range(2)]
    both = threading.Barrier(2)
    model = FakeModel(before=lambda _: _together(both))
    texts = {said(one) for one in [caller.submit("book", ask(model)) for caller in callers]}
    assert len(texts) == 1
    assert len(model.prompts) == 2
    assert sum(bill.input_tokens for _, bill in read_usage(state, list_entries(state))) == 200


def _together(barrier: threading.Barrier) -> None:
    barrier.wait(SOON_S)


def test_a_book_of_many_chunks_delays_no_other(state: Listed) -> None:
    caller, gate = ModelCaller(ModelContext(state, max_in_flight=1), "pool"), threading.Event()
    model = FakeModel(before=lambda _: _waited(gate))
    many = [caller.submit("large", ask(model, f"large {n}")) for n in range(30)]
    until(lambda: bool(model.prompts))
    small = caller.submit("small", ask(model, "small"))
    until(lambda: "small" in caller._calls._waiting)
    gate.set()
    wait([small, *many], SOON_S)
    assert model.prompts.index("small") <= 2


def test_a_damaged_entry_is_paid_for_and_made_good(caller: ModelCaller, state: Listed) -> None:
    model = FakeModel()
    said(caller.submit("book", ask(model)))
    (name,) = state.list("cache/")
    state.put(name, b"{")
    assert said(caller.submit("book", ask(model))) == "answer 2"
    assert said(caller.submit("book", ask(model))) == "answer 2"


def test_a_stop_lets_nothing_begin_but_gives_what_is_kept(
    caller: ModelCaller, permits: FakePermits
) -> None:
    model = FakeModel()
    said(caller.submit("book", ask(model)))
    with pytest.raises(BookLeftError, match="Ctrl-C"):
        caller.submit("book", ask(model, "new"), lambda: "Ctrl-C").result(SOON_S)
    assert said(caller.submit("book", ask(model), lambda: "Ctrl-C")) == "answer 1"
    assert len(permits.needs) == 1


def test_a_caller_goes_to_a_worker_without_its_threads(state: Listed) -> None:
    caller = ModelCaller(ModelContext(state, max_in_flight=5), "pool", max_in_flight=2)
    said(caller.submit("book", ask(FakeModel()), never_stopped))
    copy = pickle.loads(pickle.dumps(caller))
    assert copy._calls.threads == 2
    assert said(copy.submit("book", ask(FakeModel()))) == "answer 1"


def test_a_group_that_is_no_name_is_refused_at_once(caller: ModelCaller) -> None:
    with pytest.raises(ValueError, match="invalid name"):
        caller.submit("a/b", ask(FakeModel()))
