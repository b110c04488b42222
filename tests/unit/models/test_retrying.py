"""What a call does after errors, and that each of its leases is settled once."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from raypipe.core.errors import BookError, BookLeftError, SetupError
from raypipe.core.stop import never_stopped
from raypipe.ledger.answer_cache import spent
from raypipe.models.calling import retrying as module
from raypipe.models.calling.caller import ModelCaller
from raypipe.models.context import ModelContext
from raypipe.models.protocol import Answer, ModelError, TooLongError
from raypipe.state.local import LocalState
from tests.unit.models.fakes import FakeModel, FakePermits, ask

INTERNAL = ModelError("InternalServerException", "oops", status=500)
TIMEOUT = ModelError("ModelTimeoutException", "timed out", status=408)
LOST = ModelError("ReadTimeout", "no answer in 900 s", maybe_paid=True)
DAILY = "Too many tokens per day, please wait"


class Bench:
    """A caller whose waits are written down instead of waited."""

    def __init__(self, root: Path) -> None:
        self.slept: list[float] = []
        self.permits = FakePermits()
        self.state = LocalState(str(root))
        self.stop_after = 10**9
        account = ModelContext(self.state, {"pool": self.permits}, max_in_flight=2)
        self.caller = ModelCaller(account, "pool", sleep=self.slept.append)

    def ask(self, *does: Exception | Answer, prompt: str = "why") -> str:
        self.model = FakeModel(does)
        call = ask(self.model, prompt)
        future = self.caller.submit("book", call, self.stopped, name="a.txt")
        try:
            return future.result(5).text
        finally:
            assert self.permits.balanced

    def stopped(self) -> str:
        return "stopped" if len(self.slept) >= self.stop_after else ""

    @property
    def again(self) -> list[bool]:
        return [need.is_retry for need in self.permits.needs]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(module, "full_jitter", lambda attempt, base: base * attempt)
    return Bench(tmp_path)


def test_a_transient_error_is_retried_after_a_wait(bench: Bench) -> None:
    assert bench.ask(INTERNAL, INTERNAL) == "answer 3"
    assert bench.again == [False, True, True]
    assert sum(bench.slept) == pytest.approx(1.0 + 2.0)
    assert max(bench.slept) <= 0.5  # a stop is seen within half a second
    zeros = [(one.input_tokens, one.unknown) for one in bench.permits.spent.values()][:2]
    assert zeros == [(0, False)] * 2


def test_the_server_may_ask_for_a_longer_wait(bench: Bench) -> None:
    bench.ask(ModelError("ServiceUnavailableException", "busy", status=503, retry_after_s=7.25))
    assert sum(bench.slept) == pytest.approx(7.25)


def test_a_model_that_does_not_answer_fails_the_book_for_now(bench: Bench) -> None:
    with pytest.raises(BookError) as raised:
        bench.ask(*[INTERNAL] * 99)
    assert (raised.value.kind, raised.value.retryable) == ("model", True)
    assert raised.value.message.startswith("a.txt: fake-1: InternalServerException")
    assert len(bench.model.prompts) == 7


def test_a_bad_request_fails_the_book_for_good_at_once(bench: Bench) -> None:
    with pytest.raises(BookError) as raised:
        bench.ask(ModelError("ValidationException", "no such field", status=400))
    assert (raised.value.kind, raised.value.retryable) == ("bad_request", False)
    assert len(bench.model.prompts) == 1


def test_throttles_are_no_tries_and_the_quota_is_told(bench: Bench) -> None:
    throttle = ModelError("ThrottlingException", DAILY, status=429, retry_after_s=2.0)
    assert bench.ask(*[throttle] * 30) == "answer 31"
    assert bench.slept == []  # the quota decides when
    assert bench.again == [False] + [True] * 30
    first = bench.permits.spent[1]
    assert (first.throttled, first.daily, first.retry_after_s) == (True, True, 2.0)
    assert (first.input_tokens, first.unknown) == (0, False)


def test_two_timeouts_of_the_model_mean_less_at_a_time(bench: Bench) -> None:
    assert bench.ask(INTERNAL, TIMEOUT, prompt="one") == "answer 3"
    with pytest.raises(TooLongError):
        bench.ask(TIMEOUT, INTERNAL, TIMEOUT, prompt="two")
    assert len(bench.model.prompts) == 3


def test_too_long_is_told_at_once(bench: Bench) -> None:
    with pytest.raises(TooLongError, match=r"a\.txt"):
        bench.ask(ModelError("ValidationException", "Input is too long", status=400))


def test_what_may_be_paid_for_is_repeated_twice_and_counted(bench: Bench) -> None:
    assert bench.ask(LOST, LOST, prompt="one") == "answer 3"
    assert [one.unknown for one in bench.permits.spent.values()] == [True, True, False]
    with pytest.raises(BookError) as raised:
        bench.ask(*[LOST] * 9, prompt="two")
    assert (raised.value.kind, raised.value.retryable) == ("model", True)
    assert len(bench.model.prompts) == 3
    bills = [bill for _, bill in spent(bench.state)]
    assert len(bills) == 6
    assert sorted(bill.output_tokens for bill in bills) == [20, 50, 50, 50, 50, 50]


def test_what_no_call_survives_stops_the_run_with_a_way_out(bench: Bench) -> None:
    with pytest.raises(SetupError, match=r"fake-1: AccessDenied.*; allow bedrock:InvokeModel"):
        bench.ask(ModelError("AccessDeniedException", "no", status=403))
    expired = ModelError("ExpiredTokenException", "expired", status=403)
    assert bench.ask(expired, prompt="one") == "answer 2"  # boto3 had new ones
    with pytest.raises(SetupError, match="log in again"):
        bench.ask(expired, expired, prompt="two")


def test_a_stop_ends_a_wait(bench: Bench) -> None:
    bench.stop_after = 2
    with pytest.raises(BookLeftError, match="stopped"):
        bench.ask(*[ModelError("ModelNotReadyException", "", status=429, retry_after_s=900)] * 9)
    assert len(bench.slept) == 2


def test_a_stop_between_lease_and_request_sends_nothing(bench: Bench) -> None:
    model, asked = FakeModel(), []

    def stopped() -> str:
        asked.append(1)
        return "stopped" if bench.permits.needs else ""

    with pytest.raises(BookLeftError):
        bench.caller.submit("book", ask(model), stopped).result(5)
    assert model.prompts == []
    assert bench.permits.balanced
    assert bench.permits.spent[1].unknown is False


def test_a_call_that_nobody_wants_any_more_gives_its_lease_back() -> None:
    permits, model = FakePermits(), FakeModel()
    attempts = module.RetryingCall(
        ask(model), permits, never_stopped, begin=lambda: False, lost=lambda: None
    )
    with pytest.raises(BookLeftError):
        attempts.answer(lambda answer, _: answer)
    assert model.prompts == []
    assert permits.balanced
    assert permits.spent[1].unknown is False


def test_the_budget_leaves_the_book(bench: Bench) -> None:
    bench.permits.refuses = BookLeftError("the budget is used up", stops=True)
    with pytest.raises(BookLeftError) as raised:
        bench.ask()
    assert raised.value.stops


def test_whatever_is_raised_the_lease_is_settled(bench: Bench) -> None:
    with pytest.raises(ZeroDivisionError):
        bench.ask(ZeroDivisionError())
    assert bench.permits.spent[1].unknown
    with pytest.raises(SetupError):
        bench.ask(SetupError("no client"))
    assert not bench.permits.spent[2].unknown


def test_an_answer_is_kept_though_the_quota_cannot_be_told(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(FakePermits, "settle", lambda *_: 1 / 0)
        broken.setattr(FakePermits, "balanced", True)
        with pytest.raises(ZeroDivisionError):
            bench.ask()
    bench.permits.needs.clear()
    assert bench.ask() == "answer 1"
    assert bench.model.prompts == []


def test_neither_logs_nor_messages_quote_the_book(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(BookError) as raised:
        bench.ask(*[INTERNAL] * 99, prompt="a secret of the book")
    assert "InternalServerException; trying again in" in caplog.text
    assert "secret" not in caplog.text + str(raised.value)
