"""List the model calls that a book will take, without asking a model."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from raypipe.models.protocol import Answer, Question
from raypipe.summarizers.llm.answer_checker import CheckedAnswer
from raypipe.summarizers.llm.checks import CheckResult
from raypipe.summarizers.llm.fields import BookFields
from raypipe.summarizers.llm.hierarchy import Strategy, SummaryHierarchy
from raypipe.summarizers.llm.questions import Level, QuestionWriter, Task
from raypipe.summarizers.llm.task_runner import TaskRunner

_FILLER = "words "  # as many bytes as an English word and its space
_LIKELY_SHARE = 0.8  # answers stay a fifth below "at most N words"


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A call that a book will take, if no answer needs a second attempt.

    Args:
        level: `chunk`, `merge`, `final` or `single`.
        input_tokens: Estimated tokens of the request.
        max_tokens: Maximum tokens of the answer.
        output_tokens: Likely tokens of the answer, and of the thinking before it.
    """

    level: Level
    input_tokens: int
    max_tokens: int
    output_tokens: int


@dataclass
class _RecordingModel:
    """Answer every question with filler of about the requested length, and record the call."""

    questions: QuestionWriter
    thinking_tokens: int
    calls: list[PlannedCall] = field(default_factory=list)

    def __call__(
        self, question: Question, task: Task, keep: Callable[[Answer], bool]
    ) -> Future[Answer]:
        budget = self.questions.budget
        prompt_bytes = len(question.system.encode()) + len(question.prompt.encode())
        likely_tokens = budget.likely_answer_tokens(task.words, structured=task.is_structured)
        self.calls.append(
            PlannedCall(
                task.level,
                budget.estimate_tokens(prompt_bytes),
                question.max_tokens + budget.thinking_room,
                likely_tokens + self.thinking_tokens,
            )
        )
        future: Future[Answer] = Future()
        future.set_result(Answer(_filler(round(task.words * _LIKELY_SHARE)), "end"))
        return future


def plan_calls(
    questions: QuestionWriter, strategy: Strategy, thinking_tokens: int = 0
) -> list[PlannedCall]:
    """Return the calls of a book in the order in which a run would make them.

    The same `SummaryHierarchy` runs as for a real summary, with answers of a likely length in
    place of the model's. So plan and run differ only by the model's answers.

    Args:
        questions: The questions of the book.
        strategy: The summarizer's strategy.
        thinking_tokens: Likely tokens of the model's thinking before each answer.

    Raises:
        BookError: `too_large`, `too_long`: the book would fail.
    """
    model = _RecordingModel(questions, thinking_tokens)
    runner = TaskRunner(questions, model, _accept, "plan")
    SummaryHierarchy(questions, runner, strategy, quote=_quote).run()
    return model.calls


def _filler(words: int) -> str:
    return (_FILLER * words).strip()


def _accept(task: Task, answer: Answer) -> CheckedAnswer:
    fields = BookFields(answer.text) if task.is_structured else None
    return CheckedAnswer(CheckResult(answer.text), fields)


def _quote(start: int, end: int, max_words: int) -> str:
    return _filler(min(max_words, (end - start) // len(_FILLER)))
