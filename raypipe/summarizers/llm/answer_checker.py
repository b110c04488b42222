"""Check a model's answer to a task: prose, or JSON with a summary."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Protocol

from raypipe.models.protocol import Answer
from raypipe.summarizers.llm.checks import AnswerChecks, CheckResult
from raypipe.summarizers.llm.fields import BookFields, clean_answer, parse_fields
from raypipe.summarizers.llm.questions import Task

log = logging.getLogger(__name__)

_PROSE_CHARS = 80
_MAX_ANSWER_CHARS = 2_000_000
"""Longer answers are not checked: no model writes them, and the checks would take all memory."""


@dataclass(frozen=True, slots=True)
class UsableAnswer:
    """An answer that can be used.

    Args:
        text: The summary.
        fields: The other fields of an answer about the whole book; None for plain prose.
    """

    text: str
    fields: BookFields | None = None


@dataclass(frozen=True, slots=True)
class CheckedAnswer:
    """An answer and the result of its checks.

    Args:
        result: The result of the checks.
        fields: All fields of a JSON answer; None for plain prose.
    """

    result: CheckResult
    fields: BookFields | None = None

    @property
    def usable_answer(self) -> UsableAnswer:
        """The answer to use if the result is usable."""
        return UsableAnswer(self.result.text, self.fields)


class AnswerChecker(Protocol):
    """Check answers to tasks."""

    def __call__(self, task: Task, answer: Answer) -> CheckedAnswer:
        """Return the checked answer; the same answer always gives the same result."""


@dataclass(frozen=True)
class StrictChecker:
    """Check the answers of a real model.

    Args:
        checks: The checks of this book.
    """

    checks: AnswerChecks

    def __call__(self, task: Task, answer: Answer) -> CheckedAnswer:
        """Check an answer in prose, or the summary of an answer in JSON."""
        if not task.is_structured:
            return CheckedAnswer(self._check(clean_answer(answer.text), answer, task.words))
        fields = parse_fields(answer.text)
        if fields is not None:
            return CheckedAnswer(self._check(fields.summary, answer, task.words), fields)
        result = self._check(clean_answer(answer.text), answer, task.words)
        if "{" in answer.text[:_PROSE_CHARS]:  # half a JSON object cannot be used as prose
            problem = "cut" if answer.stop_reason == "max_tokens" else "form"
            return CheckedAnswer(CheckResult("", problem, is_usable=False))
        # Prose can be used as the summary if the model cannot write JSON.
        is_bad = not result.is_usable or result.problem == "cut"
        return CheckedAnswer(result if is_bad else CheckResult(result.text, "form"))

    def _check(self, text: str, answer: Answer, words: int) -> CheckResult:
        return self.checks.check(text, answer.stop_reason, words)


def check_safely(checker: AnswerChecker, task: Task, answer: Answer) -> CheckedAnswer:
    """Return the checked answer; an answer that cannot be checked is an unusable answer.

    Whatever a model writes must not end its book with an error that says nothing about the answer.
    """
    try:
        if len(answer.text) > _MAX_ANSWER_CHARS:
            raise ValueError(f"{len(answer.text):,} characters")
        return checker(task, answer)
    except Exception as error:
        # The message of another error may quote the answer.
        log.warning("an answer could not be checked: %s", type(error).__name__)
        return CheckedAnswer(CheckResult("", "unreadable", is_usable=False))
