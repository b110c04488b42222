"""The hierarchy's merges, the order of its calls, and that plan and run make the same calls."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import Future
from typing import Any

import pytest

from raypipe.models.protocol import Answer
from raypipe.summarizers.llm.answer_checker import StrictChecker
from raypipe.summarizers.llm.checks import AnswerChecks
from raypipe.summarizers.llm.hierarchy import SummaryHierarchy
from raypipe.summarizers.llm.questions import QuestionWriter
from raypipe.summarizers.llm.task_runner import TaskRunner
from tests.unit.summarizers.books import book_with_chapters
from tests.unit.summarizers.models import (
    default_prompts,
    good_answer,
    level,
    make_summarizer,
    material,
)

BOOK = book_with_chapters(*[90] * 6)


class ManualModel:
    """Answers a question when the test calls `answer`."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, Future[Answer]]] = []

    def __call__(self, question: Any, task: Any, keep: Any) -> Future[Answer]:
        future: Future[Answer] = Future()
        self.asked.append((question, future))
        return future

    def answer(self, *numbers: int) -> None:
        for number in numbers:
            question, future = self.asked[number]
            future.set_result(Answer(good_answer(question), "end"))

    def levels(self, start: int = 0) -> list[str]:
        return [level(question) for question, _ in self.asked[start:]]


def test_all_chunks_are_asked_at_once_and_a_merge_starts_with_its_own_parts() -> None:
    summarizer, _ = make_summarizer(fan_in=4, extract_words=0)
    model = ManualModel()
    questions = QuestionWriter(default_prompts(), summarizer.budget, BOOK)
    runner = TaskRunner(questions, model, StrictChecker(AnswerChecks("en", "")), "fake")
    SummaryHierarchy(questions, runner, "auto", quote=lambda *_: "").start()
    assert model.levels() == ["chunk"] * 12

    def answer(*numbers: int) -> None:
        model.answer(*numbers)
        for _ in numbers:
            future, pending = runner._finished.get()
            del runner._waiting[future]
            runner._process(pending, future)

    answer(7, 5, 4)
    assert len(model.asked) == 12
    answer(6)
    assert model.levels(12) == ["merge"]
    merged = material(model.asked[12][0])
    assert [f"CHAPTER {number}\n" in merged for number in (2, 3, 4, 5)] == [
        False,
        True,
        True,
        False,
    ]
    answer(12)  # finished before any other merge was asked
    answer(11, 10, 9, 8, 3, 2, 1, 0)
    assert model.levels(12) == ["merge"] * 3
    answer(13, 14)
    assert level(model.asked[-1][0]) == "final"
    final = material(model.asked[-1][0])
    assert final.index("CHAPTER 1") < final.index("CHAPTER 3") < final.index("CHAPTER 5")


@pytest.mark.parametrize(
    "settings", [{}, {"fan_in": 4}, {"strategy": "single"}, {"fan_in": 5, "chunk_tokens": 300}]
)
def test_the_plan_has_the_calls_of_the_run(settings: dict[str, Any]) -> None:
    summarizer, model = make_summarizer(**settings)
    planned = summarizer.plan_calls(BOOK)
    assert model.asked == []
    summarizer.summarize(BOOK)
    assert Counter(call.level for call in planned) == Counter(model.levels)
    asked = sorted(
        (-(-len((question.system + question.prompt).encode()) // 3.6), question.max_tokens)
        for question in model.asked
        if level(question) in ("chunk", "single")
    )
    expected = sorted(
        (float(call.input_tokens), call.max_tokens)
        for call in planned
        if call.level in ("chunk", "single")
    )
    assert asked == expected
    assert all(0 < call.output_tokens < call.max_tokens for call in planned)


def test_the_plan_of_a_long_book_counts_all_chunks() -> None:
    book = book_with_chapters(*[500] * 20)
    planned = make_summarizer(chunk_tokens=8_000)[0].plan_calls(book)
    assert Counter(call.level for call in planned) == {"chunk": 40, "merge": 4, "final": 1}
    chunk_tokens = sum(call.input_tokens for call in planned if call.level == "chunk")
    assert chunk_tokens > len(book.text) / 3.6
