"""The usage in the cache is summed up, and each entry is read only once."""

from __future__ import annotations

from pathlib import Path

import pytest

from raypipe.ledger.answer_cache import AnswerCache, CallUsage, cache_key
from raypipe.ledger.usage import ModelUsage, usage_by_model
from raypipe.state.local import LocalState


class RecordingState(LocalState):
    def get(self, name: str) -> bytes | None:
        if name.startswith("cache/"):
            READ_NAMES.append(name)
        return super().get(name)


READ_NAMES: list[str] = []


@pytest.fixture
def state(tmp_path: Path) -> LocalState:
    READ_NAMES.clear()
    return RecordingState(str(tmp_path))


def cache_answer(
    state: LocalState, book: str, prompt: str, model: str, tokens: tuple[int, int]
) -> None:
    key = cache_key({"operation": "chat", "model": model, "body": prompt})
    answers = AnswerCache(state).group(book)
    answers.put(key, {"text": prompt}, CallUsage("chat", model, *tokens), dict)


def test_an_empty_cache_has_no_usage(state: LocalState) -> None:
    assert usage_by_model(state, 1) == []


def test_tokens_are_summed_by_model_lost_answers_included(state: LocalState) -> None:
    cache_answer(state, "aa", "one", "m", (10, 1))
    cache_answer(state, "aa", "two", "n", (20, 2))
    cache_answer(state, "bb", "three", "m", (30, 3))
    AnswerCache(state).group("bb").record_usage("0" * 64, CallUsage("chat", "m", 100, 7))
    assert usage_by_model(state, 1) == [ModelUsage("m", 140, 11), ModelUsage("n", 20, 2)]


def test_summed_groups_are_not_read_again(state: LocalState) -> None:
    cache_answer(state, "aa", "one", "m", (10, 1))
    cache_answer(state, "bb", "two", "m", (20, 2))
    usage_by_model(state, 1)
    READ_NAMES.clear()
    assert usage_by_model(state, 2) == [ModelUsage("m", 30, 3)]
    assert READ_NAMES == []
    cache_answer(state, "bb", "three", "n", (5, 5))
    READ_NAMES.clear()
    assert usage_by_model(state, 3) == [ModelUsage("m", 30, 3), ModelUsage("n", 5, 5)]
    assert {name.split("/")[1] for name in READ_NAMES} == {"bb"}
    assert usage_by_model(state, 4) == [ModelUsage("m", 30, 3), ModelUsage("n", 5, 5)]
