"""What was paid for is added up from the cache, and read only once."""

from __future__ import annotations

from pathlib import Path

import pytest

from raypipe.ledger.answer_cache import AnswerCache, CallUsage, cache_key
from raypipe.ledger.usage import ModelUsage, usage_by_model
from raypipe.state.local import LocalState


class Counting(LocalState):
    def get(self, name: str) -> bytes | None:
        if name.startswith("cache/"):
            READ.append(name)
        return super().get(name)


READ: list[str] = []


@pytest.fixture
def state(tmp_path: Path) -> LocalState:
    READ.clear()
    return Counting(str(tmp_path))


def pay(state: LocalState, book: str, prompt: str, model: str, tokens: tuple[int, int]) -> None:
    key = cache_key({"operation": "chat", "model": model, "body": prompt})
    answers = AnswerCache(state).of(book)
    answers.put(key, {"text": prompt}, CallUsage("chat", model, *tokens), dict)


def test_nothing_was_paid_for(state: LocalState) -> None:
    assert usage_by_model(state, 1) == []


def test_sums_are_by_model_and_lost_answers_count(state: LocalState) -> None:
    pay(state, "aa", "one", "m", (10, 1))
    pay(state, "aa", "two", "n", (20, 2))
    pay(state, "bb", "three", "m", (30, 3))
    AnswerCache(state).of("bb").spend("0" * 64, CallUsage("chat", "m", 100, 7))
    assert usage_by_model(state, 1) == [ModelUsage("m", 140, 11), ModelUsage("n", 20, 2)]


def test_what_was_added_up_is_not_read_again(state: LocalState) -> None:
    pay(state, "aa", "one", "m", (10, 1))
    pay(state, "bb", "two", "m", (20, 2))
    usage_by_model(state, 1)
    READ.clear()
    assert usage_by_model(state, 2) == [ModelUsage("m", 30, 3)]
    assert READ == []
    pay(state, "bb", "three", "n", (5, 5))
    READ.clear()
    assert usage_by_model(state, 3) == [ModelUsage("m", 30, 3), ModelUsage("n", 5, 5)]
    assert {name.split("/")[1] for name in READ} == {"bb"}
    assert usage_by_model(state, 4) == [ModelUsage("m", 30, 3), ModelUsage("n", 5, 5)]
