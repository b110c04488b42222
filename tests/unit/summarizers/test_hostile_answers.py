"""Answers that no check foresees: each is recorded, paid for as the policy says, and no more."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raypipe.core.errors import BookError
from raypipe.ledger.answer_cache import list_entries, read_usage
from raypipe.models.context import ModelContext
from raypipe.models.protocol import Answer, Question, TokenUsage
from raypipe.state.local import LocalState
from raypipe.summarizers.llm import answer_checker
from raypipe.summarizers.llm.summarizer import ModelSummarizer
from tests.unit.summarizers.books import book_with_chapters
from tests.unit.summarizers.models import (
    FakeChat,
    good_answer,
    json_answer,
    make_summarizer,
    prose_answer,
)

SHORT = book_with_chapters(20)
USAGE = TokenUsage(50, 20)
HUGE = "7" * 5_000


def with_raw_field(question: Question, raw: str) -> str:
    """Return a good answer whose genre is a raw piece of JSON."""
    return json_answer(question, genre="@").replace('"@"', raw)


USABLE: dict[str, Callable[[Question], str]] = {
    "integer of 5,000 digits": lambda question: with_raw_field(question, HUGE),
    "negative integer": lambda question: with_raw_field(question, f"-{HUGE}"),
    "integers in a list": lambda question: with_raw_field(question, f"[{HUGE}]"),
    "float out of range": lambda question: with_raw_field(question, "1e999"),
    "NaN": lambda question: with_raw_field(question, "NaN"),
    "Infinity": lambda question: with_raw_field(question, "-Infinity"),
    "deep list": lambda question: with_raw_field(question, "[" * 900 + "]" * 900),
    "deep object": lambda question: with_raw_field(question, '{"a":' * 300 + "1" + "}" * 300),
    "null": lambda question: with_raw_field(question, "null"),
    "boolean": lambda question: with_raw_field(question, "true"),
    "half a surrogate pair": lambda question: with_raw_field(question, r'"\ud800 \u0000"'),
    "object for a list": lambda question: json_answer(question, themes={"a": {"b": [1]}}),
}


@pytest.mark.parametrize("answer", USABLE.values(), ids=USABLE)
def test_a_hostile_field_does_not_lose_the_summary(
    answer: Callable[[Question], str], tmp_path: Path
) -> None:
    summarizer, model = cached_summarizer(tmp_path, lambda question, _: answer(question))
    texts = {copy.summarize(SHORT).text for copy in two_runs(summarizer)}
    assert len(texts) == 1
    assert next(iter(texts)).startswith("On day 0 a keeper")
    assert len(model.asked) == len(usages(tmp_path)) == 1


UNUSABLE: dict[str, str] = {
    "only an integer of 5,000 digits": HUGE,
    "an object without a summary": json.dumps({"summary": None}),
    "a summary of another type": json.dumps({"summary": {"text": "On day 0"}}),
    "a deep summary": '{"summary": ' + "[" * 100_000,
    "half a surrogate pair": "\ud800",
    "nothing": "",
    "control characters": "\x00\x01",
    "three million characters": "word " * 600_000,
}


@pytest.mark.parametrize("text", UNUSABLE.values(), ids=UNUSABLE)
def test_a_hopeless_answer_is_asked_for_twice_in_each_run(text: str, tmp_path: Path) -> None:
    summarizer, model = cached_summarizer(tmp_path, lambda *_: Answer(text, "end", USAGE))
    for number, copy in enumerate(two_runs(summarizer), start=1):
        with pytest.raises(BookError) as caught:
            copy.summarize(SHORT)
        assert (caught.value.kind, caught.value.retryable) == ("bad_answer", True)
        assert len(model.asked) == 2 * number
        assert [usage.input_tokens for usage in usages(tmp_path)] == [50] * len(model.asked)


@pytest.mark.parametrize("error", [ValueError, RecursionError, MemoryError, ZeroDivisionError])
def test_a_check_that_raises_makes_the_answer_unusable(
    error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise error("a quote of the answer")

    monkeypatch.setattr(answer_checker, "parse_fields", fail)
    summarizer, model = cached_summarizer(tmp_path, good_answer)
    for copy in two_runs(summarizer):
        with pytest.raises(BookError, match="asked twice: it could not be read") as caught:
            copy.summarize(SHORT)
        assert caught.value.kind == "bad_answer"
        assert "quote" not in str(caught.value)
    assert len(model.asked) == len(usages(tmp_path)) == 4
    monkeypatch.undo()
    # With checks that work again, the answer that was paid for is used.
    assert summarizer.summarize(SHORT).text.startswith("On day 0")
    assert len(model.asked) == 4


@pytest.mark.parametrize("count", [None, -1, 10**30, 1.5, "12", True, [], float("nan")])
def test_tokens_that_are_no_count_are_estimated(count: Any, tmp_path: Path) -> None:
    def answer(question: Question, _: int) -> Answer:
        return Answer(json_answer(question), "end", TokenUsage(count, count))

    summarizer, model = cached_summarizer(tmp_path, answer)
    first, second = (copy.summarize(SHORT) for copy in two_runs(summarizer))
    assert first.text == second.text
    assert (first.model_calls, second.cached_calls, len(model.asked)) == (1, 1, 1)
    (usage,) = usages(tmp_path)
    question = model.asked[0]
    size = len(question.system) + len(question.prompt)
    assert size / 5 < usage.input_tokens < size
    assert 10 < usage.output_tokens < 2_000
    assert first.input_tokens == usage.input_tokens


def test_a_cut_answer_is_kept_but_not_served(tmp_path: Path) -> None:
    def answer(question: Question, asked_before: int) -> Answer:
        return Answer(prose_answer(question), "max_tokens", USAGE)

    summarizer, model = cached_summarizer(tmp_path, answer)
    for copy in two_runs(summarizer):
        copy.summarize(SHORT)
    assert len(model.asked) == len(usages(tmp_path)) == 4


def cached_summarizer(
    folder: Path, rule: Callable[[Question, int], Answer | str]
) -> tuple[ModelSummarizer, FakeChat]:
    summarizer, model = make_summarizer(rule)
    return summarizer.with_context(ModelContext(LocalState(str(folder)))), model


def two_runs(summarizer: ModelSummarizer) -> list[ModelSummarizer]:
    """Return the summarizer for two runs: each has its own caller."""
    context = summarizer.context
    assert context
    return [summarizer.with_context(ModelContext(context.state)) for _ in range(2)]


def usages(folder: Path) -> list[Any]:
    state = LocalState(str(folder))
    return [usage for _, usage in read_usage(state, list_entries(state))]
