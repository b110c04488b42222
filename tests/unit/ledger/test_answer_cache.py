from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pytest

from raypipe.ledger.answer_cache import (
    MAX_LOOKUPS,
    AnswerCache,
    AnswerGroup,
    cache_key,
    embeddings_group,
    list_entries,
    read_usage,
)
from raypipe.ledger.call_usage import CallUsage
from raypipe.state.local import LocalState
from raypipe.state.store import Names, check_name

CALL = {"operation": "chat", "model": "nova", "body": {"prompt": "why", "max": 5}}
KEY = cache_key(CALL)
NAME = f"cache/book/{KEY}.json"
USAGE = CallUsage("chat", "nova", 100, 20)
ANSWER = {"text": "because", "vector": [0.1, -1e-7, 3.0]}


class RecordingState(LocalState):
    """Records its operations."""

    operations: list[str]

    def __init__(self, root: str) -> None:
        super().__init__(root)
        object.__setattr__(self, "operations", [])

    def get(self, name: str) -> bytes | None:
        self.operations.append("get")
        return super().get(name)

    def list(self, prefix: str = "") -> Names:
        self.operations.append("list")
        return super().list(prefix)

    def _write(self, name: str, *rest: Any) -> str | None:
        if not name.startswith("usage/"):
            self.operations.append("put")
        return super()._write(name, *rest)


@pytest.fixture
def state(tmp_path: Path) -> RecordingState:
    return RecordingState(str(tmp_path))


def book_answers(state: LocalState) -> AnswerGroup:
    return AnswerCache(state).group("book")


def test_a_key_depends_on_operation_model_and_body_not_on_order() -> None:
    assert (
        cache_key({"body": {"max": 5, "prompt": "why"}, "model": "nova", "operation": "chat"})
        == KEY
    )
    for other in ({"operation": "embed"}, {"model": "lite"}, {"body": {"prompt": "why"}}):
        assert cache_key({**CALL, **other}) != KEY
    assert cache_key({"body": "\ud800"})  # half a surrogate pair is accepted


def test_a_cached_answer_is_returned(state: RecordingState) -> None:
    assert book_answers(state).put(KEY, ANSWER, USAGE, dict) is None
    assert book_answers(state).get(KEY, dict) == ANSWER
    assert book_answers(state).get(cache_key({}), dict) is None


def test_a_group_with_many_answers_is_listed_once(state: RecordingState) -> None:
    answers = book_answers(state)
    keys = [cache_key({"n": n}) for n in range(MAX_LOOKUPS + 3)]
    for key in keys:
        assert answers.get(key, dict) is None
        answers.put(key, ANSWER, USAGE, dict)
    few, many = state.operations[: 2 * MAX_LOOKUPS], state.operations[2 * MAX_LOOKUPS :]
    assert few == ["get", "put"] * MAX_LOOKUPS
    assert many == ["list", "put", "put", "put"]
    assert [answers.get(key, dict) for key in keys] == [ANSWER] * len(keys)  # its own are known
    assert state.operations.count("list") == 1


def test_a_direct_group_is_not_listed(state: RecordingState) -> None:
    answers = AnswerCache(state).group(embeddings_group(KEY), direct=True)
    assert answers.get(KEY, dict) is None
    answers.put(KEY, ANSWER, USAGE, dict)
    assert answers.get(KEY, dict) == ANSWER
    assert "list" not in state.operations
    assert state.list("cache/") == [f"cache/embeddings-{KEY[:2]}/{KEY}.json"]


def test_the_first_answer_is_kept_and_the_second_is_counted(state: RecordingState) -> None:
    own, other = book_answers(state), book_answers(state)
    assert own.get(KEY, dict) is None
    other.put(KEY, ANSWER, USAGE, dict)
    assert own.put(KEY, {"text": "other"}, CallUsage("chat", "nova", 7, 7), dict) == ANSWER
    assert book_answers(state).get(KEY, dict) == ANSWER
    assert sorted(usage.input_tokens for usage in usage_of(state).values()) == [7, 100]


def entry(**changes: Any) -> bytes:
    return json.dumps({**_ENTRY, **changes}).encode()


_ENTRY: dict[str, Any] = {
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
def test_a_damaged_entry_is_ignored_and_replaced(
    data: bytes, state: RecordingState, caplog: pytest.LogCaptureFixture
) -> None:
    state.put(NAME, data)
    answers = book_answers(state)
    with caplog.at_level(logging.WARNING):
        assert answers.get(KEY, dict) is None
        assert answers.put(KEY, ANSWER, USAGE, dict) is None
    assert len(caplog.messages) == 1
    assert NAME in caplog.messages[0]
    assert "forged" not in caplog.text
    assert book_answers(state).get(KEY, dict) == ANSWER


def test_an_edited_answer_is_ignored(state: RecordingState) -> None:
    book_answers(state).put(KEY, ANSWER, USAGE, dict)
    data = state.get(NAME) or b""
    state.put(NAME, data.replace(b"because", b"forged!"))
    assert book_answers(state).get(KEY, dict) is None


def test_an_entry_with_another_name_is_ignored(state: RecordingState) -> None:
    other = cache_key({"n": 1})
    book_answers(state).put(other, ANSWER, USAGE, dict)
    state.put(NAME, state.get(f"cache/book/{other}.json") or b"")
    assert book_answers(state).get(KEY, dict) is None
    assert book_answers(state).get(other, dict) == ANSWER


def test_an_answer_that_cannot_be_parsed_is_replaced(state: RecordingState) -> None:
    def text_only(answer: Mapping[str, Any]) -> str:
        return str(answer["plain"])

    book_answers(state).put(KEY, ANSWER, USAGE, dict)
    assert book_answers(state).get(KEY, text_only) is None
    assert book_answers(state).put(KEY, {"plain": "yes"}, USAGE, text_only) is None
    assert book_answers(state).get(KEY, text_only) == "yes"


def test_recorded_usage_has_no_text(state: RecordingState) -> None:
    answers = book_answers(state)
    answers.record_usage(KEY, USAGE)
    answers.record_usage(KEY, USAGE)
    names = state.list("cache/")
    assert len(names) == 2
    assert all(name.startswith(f"cache/book/{KEY}.spent-") for name in names)
    assert "answer" not in json.loads(state.get(names[0]) or b"")
    assert book_answers(state).get(KEY, dict) is None


def usage_of(state: LocalState, known: Collection[str] = ()) -> dict[str, CallUsage]:
    names = (name for name in list_entries(state) if name not in known)
    return dict(read_usage(state, names))


def test_the_usage_of_all_entries_is_read(
    state: RecordingState, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(20):
        key = cache_key({"n": number})
        group = AnswerCache(state).group(f"book-{number % 3}")
        group.put(key, ANSWER, CallUsage("embed", "titan", number, 0), dict)
    book_answers(state).record_usage(KEY, USAGE)
    state.put("cache/book/notes.txt", b"a user's file")
    state.put(f"cache/book/{cache_key({})}.json", b"damaged")
    usages = usage_of(state)
    assert sum(usage.input_tokens for usage in usages.values()) == sum(range(20)) + 100
    assert {usage.model for usage in usages.values()} == {"titan", "nova"}
    assert len(caplog.messages) == 1
    known = set(list(usages)[:15])
    state.operations.clear()
    assert set(usage_of(state, known)) == set(usages) - known
    assert state.operations.count("get") == len(usages) - 15 + 1


def test_group_names_are_valid_in_a_state(state: RecordingState) -> None:
    book_answers(state).put(KEY, ANSWER, USAGE, dict)
    book_answers(state).record_usage(KEY, USAGE)
    assert [check_name(name) for name in state.list()]
    for wrong in ("", "a/b", "..", ".hidden"):
        with pytest.raises(ValueError, match="invalid name"):
            AnswerCache(state).group(wrong)
