"""The cache and the quota around a call, and calls that wait for each other."""

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
from tests.unit.models.fakes import USAGE, FakeModel, FakeQuota, fake_call

TIMEOUT_S = 5.0


class ListingState(LocalState):
    """Records the prefixes that are listed."""

    prefixes: list[str]

    def __init__(self, root: str) -> None:
        super().__init__(root)
        object.__setattr__(self, "prefixes", [])

    def list(self, prefix: str = "") -> Names:
        self.prefixes.append(prefix)
        return super().list(prefix)


@pytest.fixture
def state(tmp_path: Path) -> ListingState:
    return ListingState(str(tmp_path))


@pytest.fixture
def quota() -> FakeQuota:
    return FakeQuota()


@pytest.fixture
def caller(state: ListingState, quota: FakeQuota) -> ModelCaller:
    return ModelCaller(
        ModelContext(state, {"pool": quota}, max_in_flight=4), "pool", sleep=_no_sleep
    )


def _no_sleep(_: float) -> None:
    pass


def text_of(future: Future[Answer]) -> str:
    return future.result(TIMEOUT_S).text


def wait_until(is_true: Callable[[], bool]) -> None:
    end = time.monotonic() + TIMEOUT_S
    while not is_true():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_an_answer_is_paid_for_once(
    caller: ModelCaller, quota: FakeQuota, state: ListingState
) -> None:
    model = FakeModel()
    assert text_of(caller.submit("book", fake_call(model))) == "answer 1"
    second = ModelCaller(ModelContext(state, {"pool": quota}), "pool")
    answer = second.submit("book", fake_call(model)).result(TIMEOUT_S)
    assert (answer.text, answer.stop_reason, answer.usage) == ("answer 1", "end", USAGE)
    assert len(model.prompts) == 1
    assert quota.cached == 1
    assert [outcome.input_tokens for outcome in quota.outcomes.values()] == [USAGE.input_tokens]
    assert text_of(second.submit("book", fake_call(model, "how"))) == "answer 2"
    assert text_of(second.submit("book", fake_call(FakeModel(base_model="other")))) == "answer 1"


def test_the_lease_is_settled_with_what_the_server_counted(
    caller: ModelCaller, quota: FakeQuota
) -> None:
    caller.submit("book", fake_call(FakeModel(), "x" * 300)).result(TIMEOUT_S)
    request, outcome = quota.requests[0], quota.outcomes[1]
    assert request.input_tokens >= 300 / 3
    assert (request.max_tokens, request.is_retry) == (50, False)
    assert (outcome.input_tokens, outcome.output_tokens) == (100, 20)
    assert not outcome.unknown


def test_without_a_state_every_call_is_made(quota: FakeQuota) -> None:
    caller, model = ModelCaller(ModelContext(None, {"pool": quota}), "pool"), FakeModel()
    assert [text_of(caller.submit("book", fake_call(model))) for _ in range(2)] == [
        "answer 1",
        "answer 2",
    ]


def test_without_a_quota_the_calls_in_flight_are_bounded(state: ListingState) -> None:
    in_flight, max_seen, lock = 0, 0, threading.Lock()
    together = threading.Barrier(3)

    def count(_: str) -> None:
        nonlocal in_flight, max_seen
        with lock:
            in_flight += 1
            max_seen = max(max_seen, in_flight)
        together.wait(TIMEOUT_S)
        with lock:
            in_flight -= 1

    caller = ModelCaller(ModelContext(state, max_in_flight=8), "pool", max_in_flight=3)
    model = FakeModel(before=count)
    wait([caller.submit("book", fake_call(model, f"{n}")) for n in range(12)], TIMEOUT_S)
    assert max_seen == 3
    totals = caller.quota.totals()
    assert (totals.calls, totals.in_flight, totals.input_tokens) == (12, 0, 1200)


def test_the_calls_of_a_book_share_one_listing_which_is_dropped_after_them(
    caller: ModelCaller, state: ListingState
) -> None:
    gate = threading.Event()
    model = FakeModel(before=lambda _: _wait_for(gate))
    calls = [caller.submit("book", fake_call(model, f"{n}")) for n in range(20)]
    assert caller._groups is not None
    assert len(caller._groups) == 1
    gate.set()
    wait(calls, TIMEOUT_S)
    assert state.prefixes == ["cache/book/"]
    wait_until(lambda: len(caller._groups or "") == 0)


def _wait_for(gate: threading.Event) -> None:
    assert gate.wait(TIMEOUT_S)


@pytest.mark.parametrize("second_group", ["book", "another"])
def test_equal_calls_are_made_once(
    second_group: str, caller: ModelCaller, quota: FakeQuota
) -> None:
    gate = threading.Event()
    model = FakeModel(before=lambda _: _wait_for(gate))
    calls = [
        caller.submit(group, fake_call(model)) for group in ("book", second_group, second_group)
    ]
    wait_until(lambda: bool(model.prompts))
    gate.set()
    assert [text_of(call) for call in calls] == ["answer 1"] * 3
    assert (len(model.prompts), quota.cached) == (1, 2)


def test_after_a_failed_call_an_equal_waiting_call_is_made(caller: ModelCaller) -> None:
    gate = threading.Event()
    bad = ModelError("ValidationException", "no", status=400)
    model = FakeModel([bad], before=lambda _: _wait_for(gate))
    first, second = (caller.submit("book", fake_call(model)) for _ in range(2))
    wait_until(lambda: bool(model.prompts))
    gate.set()
    with pytest.raises(BookError):
        first.result(TIMEOUT_S)
    assert text_of(second) == "answer 2"


def test_a_canceled_call_is_not_made_but_an_equal_waiting_call_is(state: ListingState) -> None:
    caller = ModelCaller(ModelContext(state, max_in_flight=1), "pool")
    gate = threading.Event()
    model = FakeModel(before=lambda _: _wait_for(gate))
    first = caller.submit("book", fake_call(model, "first"))
    wait_until(lambda: bool(model.prompts))
    leader, follower, other = (
        caller.submit("book", fake_call(model, prompt)) for prompt in ("a", "a", "b")
    )
    assert leader.cancel()
    assert other.cancel()
    assert wait([leader, other], 1.0).not_done == set()  # waiters are notified at once
    gate.set()
    assert (text_of(first), text_of(follower)) == ("answer 1", "answer 2")
    assert model.prompts == ["first", "a"]


def test_a_call_that_waits_for_the_quota_can_be_canceled(state: ListingState) -> None:
    gate, settled = threading.Event(), FakeQuota()

    class SlowQuota(FakeQuota):
        def acquire(self, request: Any, stop_check: Any = None) -> Any:
            lease = settled.acquire(request)
            _wait_for(gate)
            return lease

        def settle(self, lease: Any, outcome: Any) -> None:
            settled.settle(lease, outcome)

    caller, model = ModelCaller(ModelContext(state, {"pool": SlowQuota()}), "pool"), FakeModel()
    call = caller.submit("book", fake_call(model))
    wait_until(lambda: bool(settled.requests))
    assert call.cancel()
    gate.set()
    wait_until(lambda: settled.all_settled)
    assert model.prompts == []
    assert settled.outcomes[1].unknown is False


def test_a_cached_answer_does_not_wait_for_the_quota(state: ListingState) -> None:
    model, gate = FakeModel(), threading.Event()
    text_of(ModelCaller(ModelContext(state), "pool").submit("ready", fake_call(model)))
    caller = ModelCaller(ModelContext(state, max_in_flight=1), "pool")
    stuck_model = FakeModel(before=lambda _: _wait_for(gate))
    slow = [caller.submit("slow", fake_call(stuck_model, f"{n}")) for n in range(5)]
    wait_until(lambda: bool(stuck_model.prompts))
    ready = caller.submit("ready", fake_call(model))
    assert ready.result(TIMEOUT_S / 2).text == "answer 1"  # before the others give up
    gate.set()
    wait(slow, TIMEOUT_S)


def test_an_answer_that_is_not_cacheable_is_paid_again_and_its_usage_recorded(
    caller: ModelCaller, state: ListingState
) -> None:
    model = FakeModel()
    for text in ("answer 1", "answer 2"):
        assert text_of(caller.submit("book", fake_call(model, keep=False))) == text
    usages = [usage for _, usage in read_usage(state, list_entries(state))]
    assert [(usage.model, usage.operation, usage.input_tokens) for usage in usages] == [
        ("fake-1", "chat", 100)
    ] * 2
    entries = [json.loads(state.get(name) or b"") for name in state.list("cache/")]
    assert [entry["answer"]["text"] for entry in entries if "answer" in entry] == ["answer 2"]


def test_a_cached_answer_that_is_not_cacheable_any_more_is_replaced(
    caller: ModelCaller, state: ListingState
) -> None:
    model = FakeModel()
    text_of(caller.submit("book", fake_call(model)))
    assert text_of(caller.submit("book", fake_call(model, keep=False))) == "answer 2"
    assert text_of(caller.submit("book", fake_call(model))) == "answer 2"
    assert sum(usage.input_tokens for _, usage in read_usage(state, list_entries(state))) == 200


def test_the_first_answer_of_two_workers_counts(state: ListingState, quota: FakeQuota) -> None:
    callers = [ModelCaller(ModelContext(state, {"pool": quota}), "pool") for _ in range(2)]
    barrier = threading.Barrier(2)
    model = FakeModel(before=lambda _: _meet(barrier))
    texts = {
        text_of(future)
        for future in [caller.submit("book", fake_call(model)) for caller in callers]
    }
    assert len(texts) == 1
    assert len(model.prompts) == 2
    assert sum(usage.input_tokens for _, usage in read_usage(state, list_entries(state))) == 200


def _meet(barrier: threading.Barrier) -> None:
    barrier.wait(TIMEOUT_S)


def test_a_book_of_many_chunks_does_not_delay_another_book(state: ListingState) -> None:
    caller, gate = ModelCaller(ModelContext(state, max_in_flight=1), "pool"), threading.Event()
    model = FakeModel(before=lambda _: _wait_for(gate))
    many = [caller.submit("large", fake_call(model, f"large {n}")) for n in range(30)]
    wait_until(lambda: bool(model.prompts))
    small = caller.submit("small", fake_call(model, "small"))
    wait_until(lambda: "small" in caller._call_threads._waiting)
    gate.set()
    wait([small, *many], TIMEOUT_S)
    assert model.prompts.index("small") <= 2


def test_a_damaged_cache_entry_is_paid_again_and_repaired(
    caller: ModelCaller, state: ListingState
) -> None:
    model = FakeModel()
    text_of(caller.submit("book", fake_call(model)))
    (name,) = state.list("cache/")
    state.put(name, b"{")
    assert text_of(caller.submit("book", fake_call(model))) == "answer 2"
    assert text_of(caller.submit("book", fake_call(model))) == "answer 2"


def test_after_a_stop_no_call_begins_but_cached_answers_are_returned(
    caller: ModelCaller, quota: FakeQuota
) -> None:
    model = FakeModel()
    text_of(caller.submit("book", fake_call(model)))
    with pytest.raises(BookLeftError, match="Ctrl-C"):
        caller.submit("book", fake_call(model, "new"), lambda: "Ctrl-C").result(TIMEOUT_S)
    assert text_of(caller.submit("book", fake_call(model), lambda: "Ctrl-C")) == "answer 1"
    assert len(quota.requests) == 1


def test_a_pickled_caller_arrives_without_its_threads(state: ListingState) -> None:
    caller = ModelCaller(ModelContext(state, max_in_flight=5), "pool", max_in_flight=2)
    text_of(caller.submit("book", fake_call(FakeModel()), never_stopped))
    copy = pickle.loads(pickle.dumps(caller))
    assert copy._call_threads.threads == 2
    assert text_of(copy.submit("book", fake_call(FakeModel()))) == "answer 1"


def test_a_group_that_is_not_a_name_is_refused_at_once(caller: ModelCaller) -> None:
    with pytest.raises(ValueError, match="invalid name"):
        caller.submit("a/b", fake_call(FakeModel()))
