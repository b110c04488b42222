"""What the summary of a book would ask for, before anything is asked: the same way, to the call."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

from raypipe.models.protocol import Answer, Question
from raypipe.summarizers.llm.checks import CheckResult
from raypipe.summarizers.llm.fields import Fields
from raypipe.summarizers.llm.hierarchy import Strategy, SummaryHierarchy
from raypipe.summarizers.llm.questions import Level, QuestionWriter, Task
from raypipe.summarizers.llm.task_runner import CheckedAnswer, TaskRunner

_FILLER = "words "  # as many bytes as an English word and its space
_SHORTER = 0.8  # answers stay a fifth below "at most so many words"


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """One call that a book will take, if no answer has to be asked for twice.

    Args:
        level: `chunk`, `merge`, `final` or `single`.
        input_tokens: Estimated tokens of the request.
        max_tokens: Most tokens of the answer.
        output_tokens: Tokens that the answer is likely to have.
    """

    level: Level
    input_tokens: int
    max_tokens: int
    output_tokens: int


@dataclass
class _Recorder:
    """Stands for the model: every answer is about as long as it was asked for."""

    questions: QuestionWriter
    calls: list[PlannedCall] = field(default_factory=list)

    def __call__(
        self, question: Question, task: Task, keep: Callable[[Answer], bool]
    ) -> Future[Answer]:
        sizes = self.questions.sizes
        sent = len(question.system.encode()) + len(question.prompt.encode())
        likely = sizes.likely_tokens(task.words, structured=task.structured)
        self.calls.append(
            PlannedCall(task.level, sizes.cost_tokens(sent), question.max_tokens, likely)
        )
        future: Future[Answer] = Future()
        future.set_result(Answer(filler(round(task.words * _SHORTER)), "end"))
        return future


def plan_calls(questions: QuestionWriter, strategy: Strategy) -> list[PlannedCall]:
    """Return the calls of a book in the order in which they would be made.

    It is the very climb of a real run, with answers of a likely length in place of the model's:
    plan and run cannot differ but by what the model makes of it.

    Args:
        questions: Of the book.
        strategy: As the summarizer's.

    Raises:
        BookError: `too_large`, `too_long`: the book would fail.
    """
    recorder = _Recorder(questions)
    asking = TaskRunner(questions, recorder, _take, "plan")
    SummaryHierarchy(questions, asking, strategy, quoted=_quoted).run()
    return recorder.calls


def filler(words: int) -> str:
    """Return a text of so many words."""
    return (_FILLER * words).strip()


def _take(task: Task, answer: Answer) -> CheckedAnswer:
    return CheckedAnswer(CheckResult(answer.text), Fields(answer.text) if task.structured else None)


def _quoted(start: int, end: int, words: int) -> str:
    return filler(min(words, (end - start) // len(_FILLER)))
