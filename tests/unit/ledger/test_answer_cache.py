from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from raypipe.ledger.answer_cache import (
    AnswerCache,
    AnswerGroup,
    CallUsage,
    cache_key,
    embeddings_group,
    spent,
)
from raypipe.state.local import LocalState
from raypipe.state.store import Names, check_name

ASKED = {"operation": "chat", "model": "nova", "body": {"prompt": "why", "max": 5}}
KEY = cache_key(ASKED)
NAME = f"cache/book/{KEY}.json"
BILL = CallUsage("chat", "nova", 100, 20)
ANSWER = {"text": "because", "vector": [0.1, -1e-7, 3.0]}


class Counting(LocalState):
    """Counts what is asked of it."""

    asked: list[str]

    def __init__(self, root: str) -> None:
        super().__init__(root)
        object.__setattr__(self, "asked", [])

    def get(self, name: str) -> bytes | None:
        self.asked.append("get")
        return super().get(name)

    def list(self, prefix: str = "") -> Names:
        self.asked.append("list")
        return super().list(prefix)

    def _write(self, name: str, *rest: Any) -> str | None:
        self.asked.append("put")
        return super()._write(name, *rest)


@pytest.fixture
def state(tmp_path: Path) -> Counting:
    return Counting(str(tmp_path))


def book(state: LocalState) -> AnswerGroup:
    return AnswerCache(state).of("book")


def test_a_key_is_operation_model_and_body_in_any_order() -> None:
    assert (
        cache_key({"body": {"max": 5, "prompt": "why"}, "model": "nova", "operation": "chat"})
        == KEY
    )
    for other in ({"operation": "embed"}, {"model": "lite"}, {"body": {"prompt": "why"}}):
        assert cache_key({**ASKED, **other}) != KEY
    assert cache_key({"body": "\ud800"})  # half a surrogate pair in a book stops nothing


def test_an_answer_comes_back_as_it_was(state: Counting) -> None:
    assert book(state).put(KEY, ANSWER, BILL, dict) is None
    assert book(state).get(KEY, dict) == ANSWER
    assert book(state).get(cache_key({}), dict) is None


def test_one_put_a_call_and_one_listing_a_group(state: Counting) -> None:
    answers = book(state)
    keys = [cache_key({"n": n}) for n in range(3)]
    for key in keys:
        assert answers.get(key, dict) is None
        answers.put(key, ANSWER, BILL, dict)
    assert state.asked == ["list", "put", "put", "put"]
    assert [answers.get(key, dict) for key in keys] == [ANSWER] * 3  # its own are known to it
    assert state.asked.count("list") == 1


def test_a_direct_group_is_never_listed(state: Counting) -> None:
    answers = AnswerCache(state).of(embeddings_group(KEY), direct=True)
    assert answers.get(KEY, dict) is None
    answers.put(KEY, ANSWER, BILL, dict)
    assert answers.get(KEY, dict) == ANSWER
    assert "list" not in state.asked
    assert state.list() == [f"cache/embeddings-{KEY[:2]}/{KEY}.json"]


def test_the_first_answer_wins_and_the_second_is_on_the_bill(state: Counting) -> None:
    mine, others = book(state), book(state)
    assert mine.get(KEY, dict) is None
    others.put(KEY, ANSWER, BILL, dict)
    assert mine.put(KEY, {"text": "other"}, CallUsage("chat", "nova", 7, 7), dict) == ANSWER
    assert book(state).get(KEY, dict) == ANSWER
    assert sorted(bill.input_tokens for _, bill in spent(state)) == [7, 100]


def entry(**changes: Any) -> bytes:
    return json.dumps({**_KEPT, **changes}).encode()


_KEPT: dict[str, Any] = {
    "version": 1,
    "key": KEY,
    "operation": "chat",
    "model": "nova",
    "usage": {"input_tokens": 1, "output_tokens": 1},
    "at": "2026-11-24T00:00:00Z",
    "sha256": "",
    "answer": {"text": "forged"},
}

DAMAGED = {
    "empty": b"",
    "not JSON": b'{"version": 1, "answ',
    "not UTF-8": b"\xff\xfe",
    "a list": b"[]",
    "a number": b"1",
    "deep": b"[" * 100_000,
    "edited": entry(),
    "another version": entry(version=2),
    "another call's": entry(key="0" * 64),
    "no usage": entry(usage={"input_tokens": "many", "output_tokens": 1}),
    "no answer": entry(answer=None),
}


@pytest.mark.parametrize("data", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_entry_is_not_believed_but_replaced(
    data: bytes, state: Counting, caplog: pytest.LogCaptureFixture
) -> None:
    state.put(NAME, data)
    answers = book(state)
    with caplog.at_level(logging.WARNING):
        assert answers.get(KEY, dict) is None
        assert answers.put(KEY, ANSWER, BILL, dict) is None
    assert len(caplog.messages) == 1
    assert NAME in caplog.messages[0]
    assert "forged" not in caplog.text
    assert book(state).get(KEY, dict) == ANSWER


def test_an_edited_answer_is_not_believed(state: Counting) -> None:
    book(state).put(KEY, ANSWER, BILL, dict)
    data = state.get(NAME) or b""
    state.put(NAME, data.replace(b"because", b"forged!"))
    assert book(state).get(KEY, dict) is None


def test_an_entry_under_anothers_name_is_not_believed(state: Counting) -> None:
    other = cache_key({"n": 1})
    book(state).put(other, ANSWER, BILL, dict)
    state.put(NAME, state.get(f"cache/book/{other}.json") or b"")
    assert book(state).get(KEY, dict) is None
    assert book(state).get(other, dict) == ANSWER


def test_an_answer_that_its_reader_refuses_is_replaced(state: Counting) -> None:
    def text_only(kept: Mapping[str, Any]) -> str:
        return str(kept["plain"])

    book(state).put(KEY, ANSWER, BILL, dict)
    assert book(state).get(KEY, text_only) is None
    assert book(state).put(KEY, {"plain": "yes"}, BILL, text_only) is None
    assert book(state).get(KEY, text_only) == "yes"


def test_what_is_not_kept_leaves_its_usage_and_no_text(state: Counting) -> None:
    answers = book(state)
    answers.spend(KEY, BILL)
    answers.spend(KEY, BILL)
    names = state.list()
    assert len(names) == 2
    assert all(name.startswith(f"cache/book/{KEY}.spent-") for name in names)
    assert "answer" not in json.loads(state.get(names[0]) or b"")
    assert book(state).get(KEY, dict) is None


def test_spent_is_everything_that_was_paid_for_but_what_is_known(
    state: Counting, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(20):
        key = cache_key({"n": number})
        group = AnswerCache(state).of(f"book-{number % 3}")
        group.put(key, ANSWER, CallUsage("embed", "titan", number, 0), dict)
    book(state).spend(KEY, BILL)
    state.put("cache/book/notes.txt", b"a person's")
    state.put(f"cache/book/{cache_key({})}.json", b"damaged")
    found = dict(spent(state))
    assert sum(bill.input_tokens for bill in found.values()) == sum(range(20)) + 100
    assert {bill.model for bill in found.values()} == {"titan", "nova"}
    assert len(caplog.messages) == 1
    known = set(list(found)[:15])
    state.asked.clear()
    assert set(dict(spent(state, known))) == set(found) - known
    assert state.asked.count("get") == len(found) - 15 + 1


def test_names_are_names_of_a_state(state: Counting) -> None:
    book(state).put(KEY, ANSWER, BILL, dict)
    book(state).spend(KEY, BILL)
    assert [check_name(name) for name in state.list()]
    for wrong in ("", "a/b", "..", ".hidden"):
        with pytest.raises(ValueError, match="not a"):
            AnswerCache(state).of(wrong)
