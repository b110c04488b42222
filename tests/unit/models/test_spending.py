"""Documents cost what was paid for them, by whichever run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from raypipe.models.calling.caller import ModelCaller
from raypipe.models.calling.model_calls import chat_call
from raypipe.models.calling.spending import Spending
from raypipe.models.context import Billing, ModelContext
from raypipe.models.protocol import Answer, ModelError, Question, TokenUsage
from raypipe.quota.prices import Prices
from raypipe.state.local import LocalState
from tests.unit.models.fakes import FakeModel

MODELS = {
    "fake-1": {"input": 1.0, "output": 10.0, "flex": {"input": 0.5, "output": 5.0}},
    "us.fake-1": {"input": 2.0, "output": 20.0},
}
PAID = (100 * 1.0 + 20 * 10.0) / 1e6


class Profile(FakeModel):
    """A model that is billed under a profile's id."""

    billing = Billing("us.fake-1")


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., Spending]:
    """Return a function that asks about a book in a new run, and returns what it cost."""
    context = ModelContext(LocalState(str(tmp_path)), prices=Prices(models=MODELS))

    def ask(model: Any, owner: str, *prompts: str, keep: bool = True) -> Spending:
        caller, spending = ModelCaller(context, "pool"), Spending(model, context, owner)
        for prompt in prompts:
            question = Question("be brief", prompt, max_tokens=50)
            call = spending.track(chat_call(model, question, lambda _: keep), hash(prompt))
            future = caller.submit("text", call, name=owner)
            future.add_done_callback(spending.count_answer)
            future.exception(10)
        return spending

    return ask


def test_a_resumed_book_costs_what_both_runs_paid(ask: Callable[..., Spending]) -> None:
    first = ask(FakeModel(), "a.txt", "one", "two")
    second = ask(FakeModel(), "a.txt", "one", "two", "three")
    assert (first.calls, first.cached_calls) == (2, 0)
    assert (second.calls, second.cached_calls) == (3, 2)
    assert second.tokens == TokenUsage(300, 60)
    assert second.usd == pytest.approx(3 * PAID)


def test_books_with_the_same_text_are_paid_for_once(ask: Callable[..., Spending]) -> None:
    ask(FakeModel(), "a.txt", "one")
    other = ask(FakeModel(), "copy of a.txt", "one", "two")
    assert (other.calls, other.cached_calls, other.usd) == (1, 1, pytest.approx(PAID))


def test_a_question_that_is_repeated_counts_once(ask: Callable[..., Spending]) -> None:
    assert ask(FakeModel(), "a.txt", "one", "one").calls == 1
    assert ask(FakeModel(), "a.txt", "one", "one").calls == 1


def test_an_answer_of_an_older_raypipe_counts(
    ask: Callable[..., Spending], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Spending, "track", lambda self, call, question: call)
        ask(FakeModel(), "a.txt", "one")
    assert ask(FakeModel(), "a.txt", "one").usd == pytest.approx(PAID)


def test_an_answer_that_fails_todays_checks_was_paid_for_as_well(
    ask: Callable[..., Spending],
) -> None:
    ask(FakeModel(), "a.txt", "one")
    assert ask(FakeModel(), "a.txt", "one", keep=False).calls == 2


def test_tokens_of_an_unusable_answer_count(ask: Callable[..., Spending]) -> None:
    error = ModelError.bad_response("no list of blocks", TokenUsage(70, 7))
    spending = ask(FakeModel([error]), "a.txt", "one")
    assert (spending.calls, spending.tokens) == (2, TokenUsage(170, 27))


def test_dollars_follow_profile_and_served_tier(ask: Callable[..., Spending]) -> None:
    flex = Answer("answer", "end", TokenUsage(100, 20, tier="flex"))
    assert ask(FakeModel([flex]), "a.txt", "one").usd == pytest.approx(PAID / 2)
    assert ask(FakeModel(), "a.txt", "one").usd == pytest.approx(PAID / 2), "from the cache"
    assert ask(Profile(), "b.txt", "two").usd == pytest.approx(2 * PAID)
    assert ask(FakeModel(), "b.txt", "two").usd == pytest.approx(2 * PAID), "from the cache"


def test_a_model_without_a_price_costs_nothing(tmp_path: Path) -> None:
    spending = Spending(FakeModel(), None, "a.txt")
    call = chat_call(FakeModel(), Question("", "one", max_tokens=5), lambda _: True)
    answer = spending.track(call, 1).send()
    assert replace(answer.usage) == TokenUsage(100, 20)
    assert (spending.calls, spending.usd) == (1, 0.0)
