"""What was paid for is added up from the cache, and read only once."""

from __future__ import annotations

from pathlib import Path

import pytest

from raypipe.ledger.answer_cache import AnswerCache, Bill, cache_key
from raypipe.ledger.usage import Paid, paid_so_far
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
    answers.put(key, {"text": prompt}, Bill("chat", model, *tokens), dict)


def test_nothing_was_paid_for(state: LocalState) -> None:
    assert paid_so_far(state, 1) == []


def test_sums_are_by_model_and_lost_answers_count(state: LocalState) -> None:
    pay(state, "aa", "one", "m", (10, 1))
    pay(state, "aa", "two", "n", (20, 2))
    pay(state, "bb", "three", "m", (30, 3))
    AnswerCache(state).of("bb").spend("0" * 64, Bill("chat", "m", 100, 7))
    assert paid_so_far(state, 1) == [Paid("m", 140, 11), Paid("n", 20, 2)]


def test_what_was_added_up_is_not_read_again(state: LocalState) -> None:
    pay(state, "aa", "one", "m", (10, 1))
    pay(state, "bb", "two", "m", (20, 2))
    paid_so_far(state, 1)
    READ.clear()
    assert paid_so_far(state, 2) == [Paid("m", 30, 3)]
    assert READ == []
    pay(state, "bb", "three", "n", (5, 5))
    READ.clear()
    assert paid_so_far(state, 3) == [Paid("m", 30, 3), Paid("n", 5, 5)]
    assert {name.split("/")[1] for name in READ} == {"bb"}
    assert paid_so_far(state, 4) == [Paid("m", 30, 3), Paid("n", 5, 5)]
