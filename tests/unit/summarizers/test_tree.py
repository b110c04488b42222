"""The tree's shape, the order of its calls, and that the plan is the run."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import Future
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raypipe.core.errors import BookError
from raypipe.models.protocol import Answer
from raypipe.summarizers.llm.checks import AnswerChecks
from raypipe.summarizers.llm.hierarchy import SummaryHierarchy
from raypipe.summarizers.llm.questions import QuestionWriter
from raypipe.summarizers.llm.task_runner import StrictChecker, TaskRunner
from raypipe.summarizers.llm.tree import even, levels
from tests.unit.summarizers.books import chaptered
from tests.unit.summarizers.models import level, made, material, prompts, well

BOOK = chaptered(*[90] * 6)


@given(st.integers(1, 3_000), st.integers(5, 20))
def test_levels_halve_at_least_and_leave_one_merge(parts: int, most: int) -> None:
    shape = levels(parts, most)
    below = parts
    for sizes in shape:
        assert sum(sizes) == below
        assert max(sizes) <= most
        assert max(sizes) - min(sizes) <= 1
        assert len(sizes) <= (below + 1) // 2
        below = len(sizes)
    assert below <= most


def test_a_shape() -> None:
    assert levels(12, 12) == ()
    assert levels(49, 12) == ((10, 10, 10, 10, 9),)
    assert [len(sizes) for sizes in levels(400, 12)] == [34, 3]
    assert even(7, 3) == [3, 2, 2]


def test_too_many_levels_are_an_error() -> None:
    with pytest.raises(BookError, match=r"raise summarizer.fan_in") as caught:
        levels(500, 2)
    assert caught.value.kind == "too_large"


class Hand:
    """Answers when the test says so."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, Future[Answer]]] = []

    def __call__(self, question: Any, task: Any, keep: Any) -> Future[Answer]:
        future: Future[Answer] = Future()
        self.asked.append((question, future))
        return future

    def answer(self, *places: int) -> None:
        for place in places:
            question, future = self.asked[place]
            future.set_result(Answer(well(question), "end"))


def test_all_chunks_are_asked_at_once_and_a_merge_begins_with_its_own() -> None:
    summarizer, _ = made(fan_in=4, extract_words=0)
    hand = Hand()
    questions = QuestionWriter(prompts(), summarizer.sizes, BOOK)
    asking = TaskRunner(questions, hand, StrictChecker(AnswerChecks("en", "")), "fake")
    climb = SummaryHierarchy(questions, asking, "auto", lambda *_: "")
    climb._grow(climb._chunks())
    assert [level(question) for question, _ in hand.asked] == ["chunk"] * 12

    def land(*places: int) -> None:
        hand.answer(*places)
        for _ in places:
            future, one = asking._landed.get()
            del asking._waiting[future]
            asking._answered(one, future)

    land(7, 5, 4)
    assert len(hand.asked) == 12
    land(6)
    assert [level(question) for question, _ in hand.asked[12:]] == ["merge"]
    merged = material(hand.asked[12][0])
    assert [f"CHAPTER {number}\n" in merged for number in (2, 3, 4, 5)] == [
        False,
        True,
        True,
        False,
    ]
    land(12)  # done before any other merge was even asked
    land(11, 10, 9, 8, 3, 2, 1, 0)
    assert [level(question) for question, _ in hand.asked[12:]] == ["merge"] * 3
    land(13, 14)
    assert level(hand.asked[-1][0]) == "final"
    final = material(hand.asked[-1][0])
    assert final.index("CHAPTER 1") < final.index("CHAPTER 3") < final.index("CHAPTER 5")


@pytest.mark.parametrize(
    "settings", [{}, {"fan_in": 4}, {"strategy": "single"}, {"fan_in": 5, "chunk_tokens": 300}]
)
def test_the_plan_is_what_the_run_does(settings: dict[str, Any]) -> None:
    summarizer, model = made(**settings)
    planned = summarizer.calls_of(BOOK)
    assert model.asked == []
    summarizer.summarize(BOOK)
    assert Counter(call.level for call in planned) == Counter(model.levels)
    chunks = [one for one in model.asked if level(one) in ("chunk", "single")]
    expected = sorted(
        (-(-len((one.system + one.prompt).encode()) // 3.6), one.max_tokens) for one in chunks
    )
    there = sorted(
        (float(call.input_tokens), call.max_tokens)
        for call in planned
        if call.level in ("chunk", "single")
    )
    assert there == expected
    assert all(0 < call.output_tokens < call.max_tokens for call in planned)


def test_a_plan_counts_a_long_book_fairly() -> None:
    planned = made(chunk_tokens=8_000)[0].calls_of(chaptered(*[500] * 20))
    levels_of = Counter(call.level for call in planned)
    assert levels_of == {"chunk": 40, "merge": 4, "final": 1}
    chunks = sum(call.input_tokens for call in planned if call.level == "chunk")
    assert chunks > len(chaptered(*[500] * 20).text) / 3.6
