"""What a call does after errors. Each of its leases is settled once."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from raypipe.core.errors import BookError, BookLeftError, SetupError
from raypipe.core.stop import never_stopped
from raypipe.ledger.answer_cache import list_entries, read_usage
from raypipe.models.calling import retrying as retrying_module
from raypipe.models.calling.caller import ModelCaller
from raypipe.models.context import ModelContext
from raypipe.models.protocol import Answer, ModelError, TooLongError
from raypipe.state.local import LocalState
from tests.unit.models.fakes import FakeModel, FakeQuota, fake_call

INTERNAL = ModelError("InternalServerException", "oops", status=500)
TIMEOUT = ModelError("ModelTimeoutException", "timed out", status=408)
LOST = ModelError("ReadTimeout", "no answer in 900 s", maybe_paid=True)
DAILY = "Too many tokens per day, please wait"


class CallerHarness:
    """A caller that records its waits instead of waiting."""

    def __init__(self, root: Path) -> None:
        self.waits: list[float] = []
        self.quota = FakeQuota()
        self.state = LocalState(str(root))
        self.stop_after = 10**9
        context = ModelContext(self.state, {"pool": self.quota}, max_in_flight=2)
        self.caller = ModelCaller(context, "pool", sleep=self.waits.append)

    def call(self, *script: Exception | Answer, prompt: str = "why") -> str:
        self.model = FakeModel(script)
        call = fake_call(self.model, prompt)
        future = self.caller.submit("book", call, self.stop_check, name="a.txt")
        try:
            return future.result(5).text
        finally:
            assert self.quota.all_settled

    def stop_check(self) -> str:
        return "stopped" if len(self.waits) >= self.stop_after else ""

    @property
    def retries(self) -> list[bool]:
        return [request.is_retry for request in self.quota.requests]


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CallerHarness:
    monkeypatch.setattr(retrying_module, "full_jitter", lambda attempt, base: base * attempt)
    return CallerHarness(tmp_path)


def test_a_transient_error_is_retried_after_a_wait(harness: CallerHarness) -> None:
    assert harness.call(INTERNAL, INTERNAL) == "answer 3"
    assert harness.retries == [False, True, True]
    assert sum(harness.waits) == pytest.approx(1.0 + 2.0)
    assert max(harness.waits) <= 0.5  # a stop is seen within half a second
    failed = [
        (outcome.input_tokens, outcome.unknown) for outcome in harness.quota.outcomes.values()
    ][:2]
    assert failed == [(0, False)] * 2


def test_a_retry_waits_as_long_as_the_server_asks(harness: CallerHarness) -> None:
    harness.call(ModelError("ServiceUnavailableException", "busy", status=503, retry_after_s=7.25))
    assert sum(harness.waits) == pytest.approx(7.25)


def test_a_model_that_does_not_answer_fails_the_book_until_a_later_run(
    harness: CallerHarness,
) -> None:
    with pytest.raises(BookError) as raised:
        harness.call(*[INTERNAL] * 99)
    assert (raised.value.kind, raised.value.retryable) == ("model", True)
    assert raised.value.message.startswith("a.txt: fake-1: InternalServerException")
    assert len(harness.model.prompts) == 7


def test_a_bad_request_fails_the_book_permanently_at_once(harness: CallerHarness) -> None:
    with pytest.raises(BookError) as raised:
        harness.call(ModelError("ValidationException", "no such field", status=400))
    assert (raised.value.kind, raised.value.retryable) == ("bad_request", False)
    assert len(harness.model.prompts) == 1


def test_throttles_do_not_count_as_retries_and_are_reported_to_the_quota(
    harness: CallerHarness,
) -> None:
    throttle = ModelError("ThrottlingException", DAILY, status=429, retry_after_s=2.0)
    assert harness.call(*[throttle] * 30) == "answer 31"
    assert harness.waits == []  # the quota decides when
    assert harness.retries == [False] + [True] * 30
    first = harness.quota.outcomes[1]
    assert (first.throttled, first.daily, first.retry_after_s) == (True, True, 2.0)
    assert (first.input_tokens, first.unknown) == (0, False)


def test_two_timeouts_of_the_model_mean_that_the_input_is_too_long(harness: CallerHarness) -> None:
    assert harness.call(INTERNAL, TIMEOUT, prompt="one") == "answer 3"
    with pytest.raises(TooLongError):
        harness.call(TIMEOUT, INTERNAL, TIMEOUT, prompt="two")
    assert len(harness.model.prompts) == 3


def test_an_input_that_is_too_long_is_not_retried(harness: CallerHarness) -> None:
    with pytest.raises(TooLongError, match=r"a\.txt"):
        harness.call(ModelError("ValidationException", "Input is too long", status=400))


def test_a_call_that_may_be_billed_is_repeated_twice_and_each_try_counts(
    harness: CallerHarness,
) -> None:
    assert harness.call(LOST, LOST, prompt="one") == "answer 3"
    assert [outcome.unknown for outcome in harness.quota.outcomes.values()] == [True, True, False]
    with pytest.raises(BookError) as raised:
        harness.call(*[LOST] * 9, prompt="two")
    assert (raised.value.kind, raised.value.retryable) == ("model", True)
    assert len(harness.model.prompts) == 3
    usages = [usage for _, usage in read_usage(harness.state, list_entries(harness.state))]
    assert len(usages) == 6
    assert sorted(usage.output_tokens for usage in usages) == [20, 50, 50, 50, 50, 50]


def test_an_error_of_every_call_stops_the_run_with_a_way_out(harness: CallerHarness) -> None:
    with pytest.raises(SetupError, match=r"fake-1: AccessDenied.*; allow bedrock:InvokeModel"):
        harness.call(ModelError("AccessDeniedException", "no", status=403))
    expired = ModelError("ExpiredTokenException", "expired", status=403)
    assert harness.call(expired, prompt="one") == "answer 2"  # boto3 had new ones
    with pytest.raises(SetupError, match="log in again"):
        harness.call(expired, expired, prompt="two")


def test_a_stop_ends_a_wait(harness: CallerHarness) -> None:
    harness.stop_after = 2
    with pytest.raises(BookLeftError, match="stopped"):
        harness.call(*[ModelError("ModelNotReadyException", "", status=429, retry_after_s=900)] * 9)
    assert len(harness.waits) == 2


def test_a_stop_between_lease_and_request_sends_nothing(harness: CallerHarness) -> None:
    model = FakeModel()

    def stop_check() -> str:
        return "stopped" if harness.quota.requests else ""

    with pytest.raises(BookLeftError):
        harness.caller.submit("book", fake_call(model), stop_check).result(5)
    assert model.prompts == []
    assert harness.quota.all_settled
    assert harness.quota.outcomes[1].unknown is False


def test_a_canceled_call_gives_its_lease_back() -> None:
    quota, model = FakeQuota(), FakeModel()
    retrying = retrying_module.RetryingCall(
        fake_call(model), quota, never_stopped, start=lambda: False, on_unknown=lambda _: None
    )
    with pytest.raises(BookLeftError):
        retrying.answer(lambda answer, _: answer)
    assert model.prompts == []
    assert quota.all_settled
    assert quota.outcomes[1].unknown is False


def test_a_used_up_budget_leaves_the_book_to_a_later_run(harness: CallerHarness) -> None:
    harness.quota.refusal = BookLeftError("the budget is used up", stops=True)
    with pytest.raises(BookLeftError) as raised:
        harness.call()
    assert raised.value.stops


def test_the_lease_is_settled_after_any_exception(harness: CallerHarness) -> None:
    with pytest.raises(BookError, match=r"unreadable \(ZeroDivisionError\) \(tried 3 times\)"):
        harness.call(*[ZeroDivisionError()] * 9)
    assert [outcome.unknown for outcome in harness.quota.outcomes.values()] == [True] * 3
    with pytest.raises(SetupError):
        harness.call(SetupError("no client"))
    assert not harness.quota.outcomes[4].unknown


def test_an_answer_is_cached_even_if_the_settlement_fails(
    harness: CallerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(FakeQuota, "settle", lambda *_: 1 / 0)
        broken.setattr(FakeQuota, "all_settled", True)
        with pytest.raises(ZeroDivisionError):
            harness.call()
    harness.quota.requests.clear()
    assert harness.call() == "answer 1"
    assert harness.model.prompts == []


def test_logs_and_messages_do_not_quote_the_book(
    harness: CallerHarness, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(BookError) as raised:
        harness.call(*[INTERNAL] * 99, prompt="a secret of the book")
    assert "InternalServerException; retrying in" in caplog.text
    assert "secret" not in caplog.text + str(raised.value)
