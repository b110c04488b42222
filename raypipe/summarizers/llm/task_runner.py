"""One task from question to usable text: asked, checked, asked once more, flagged or given up."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Protocol

from raypipe.core.errors import BookError, BookLeftError
from raypipe.core.stop import StopCheck, never_stopped
from raypipe.models.protocol import Answer, Question, TooLongError
from raypipe.summarizers.llm.checks import PROBLEMS, AnswerChecks, CheckResult
from raypipe.summarizers.llm.fields import Fields, clean, parse
from raypipe.summarizers.llm.questions import QuestionWriter, Task

log = logging.getLogger(__name__)

PATIENCE_S = 15.0
"""A run that is stopped ends within 30 s, sink and ledger included."""
_LOOK_S = 1.0

_FLAGS = {
    "cut": "trimmed",
    "long": "trimmed",
    "repeats": "repeats",
    "boilerplate": "boilerplate",
    "language": "other_language",
    "form": "unstructured",
}
"""What a document is flagged with where an answer was used despite a problem."""
_KINDS = {"refused": "refused", "cut": "cut"}


class AskModel(Protocol):
    """Gets an answer, from the cache or for money."""

    def __call__(
        self, question: Question, task: Task, keep: Callable[[Answer], bool]
    ) -> Future[Answer]:
        """Return a future of the answer, or of what the caller of models raises."""


@dataclass(frozen=True, slots=True)
class UsableAnswer:
    """A usable answer.

    Args:
        text: The summary.
        fields: What else an answer about the whole book says.
    """

    text: str
    fields: Fields | None = None


@dataclass(frozen=True, slots=True)
class CheckedAnswer:
    """An answer and what the checks say of it."""

    verdict: CheckResult
    fields: Fields | None = None

    @property
    def said(self) -> UsableAnswer:
        """The usable answer."""
        return UsableAnswer(self.verdict.text, self.fields)


class AnswerChecker(Protocol):
    """Says whether an answer to a task can be used."""

    def __call__(self, task: Task, answer: Answer) -> CheckedAnswer:
        """Judge an answer; the same one always alike."""


@dataclass(frozen=True)
class StrictChecker:
    """The judge of real answers.

    Args:
        checks: The checks of this book.
    """

    checks: AnswerChecks

    def __call__(self, task: Task, answer: Answer) -> CheckedAnswer:
        """Judge an answer; of one that should be JSON, its summary."""
        if not task.structured:
            return CheckedAnswer(self._verdict(clean(answer.text), answer, task.words))
        fields = parse(answer.text)
        if fields is not None:
            verdict = self._verdict(fields.summary, answer, task.words)
            return CheckedAnswer(verdict, fields)
        verdict = self._verdict(clean(answer.text), answer, task.words)
        if "{" in answer.text[:80]:  # a piece of an object is no prose to fall back on
            problem = "cut" if answer.stop_reason == "max_tokens" else "form"
            return CheckedAnswer(CheckResult("", problem, usable=False))
        # Plain words can stand for the summary if the model does not come to JSON.
        bad = not verdict.usable or verdict.problem == "cut"
        return CheckedAnswer(verdict if bad else CheckResult(verdict.text, "form"))

    def _verdict(self, text: str, answer: Answer, words: int) -> CheckResult:
        return self.checks.verdict(text, answer.stop_reason, words)


@dataclass
class _Open:
    """A task that waits for its answer."""

    task: Task
    where: str
    done: Callable[[UsableAnswer], None]
    too_long: Callable[[], None]
    instead: Callable[[BookError], None]
    first: CheckedAnswer | None = None  # the answer before, if it is asked again
    known: tuple[Answer, CheckedAnswer] | None = (
        None  # what was judged last: checks take their time
    )


@dataclass
class TaskRunner:
    """Asks the tasks of one book, many at a time; what follows is done in the book's own thread.

    Args:
        questions: Writes the questions.
        ask: Gets the answers.
        judge: Checks them.
        model: The model's name, for messages.
        stop_check: Returns the stop reason; a reason ends the book.
        patience_s: Seconds that a stopped book waits for calls under way: they are paid for, but
            one may hang.
    """

    questions: QuestionWriter
    ask: AskModel
    judge: AnswerChecker
    model: str
    stop_check: StopCheck = never_stopped
    patience_s: float = PATIENCE_S
    flags: dict[str, None] = field(default_factory=dict)
    _landed: SimpleQueue[tuple[Future[Answer], _Open]] = field(default_factory=SimpleQueue)
    _waiting: dict[Future[Answer], None] = field(default_factory=dict)

    def put(
        self,
        task: Task,
        where: str,
        *,
        done: Callable[[UsableAnswer], None],
        too_long: Callable[[], None],
        instead: Callable[[BookError], None],
    ) -> None:
        """Ask a task; one of the three is called later, or now.

        Args:
            task: What.
            where: Which part of the book, for messages.
            done: Takes a usable answer.
            too_long: Is called where the task is too much for one call.
            instead: Is called where no answer can be used, with the reason.
        """
        one = _Open(task, where, done, too_long, instead)
        if self.questions.fits(task):
            self._send(one)
        else:
            too_long()

    def run(self) -> None:
        """Work until nothing is open.

        Raises:
            BookError, BookLeftError, SetupError: As the first call that raised it; calls that wait
                are canceled, those under way are paid for and kept.
        """
        try:
            while self._waiting:
                future, one = self._next()
                del self._waiting[future]
                self._answered(one, future)
        finally:
            for future in self._waiting:
                future.cancel()

    def _next(self) -> tuple[Future[Answer], _Open]:
        """Return the next call that landed; a stop does not wait for one that hangs."""
        since = math.inf
        while True:
            try:
                return self._landed.get(timeout=_LOOK_S)
            except Empty:
                if why := self.stop_check():
                    since = min(since, time.monotonic())
                    if time.monotonic() - since > self.patience_s:
                        raise BookLeftError(why) from None

    def _send(self, one: _Open) -> None:
        task = one.task

        def keep(answer: Answer) -> bool:
            # One that is only too long, say, is kept: found again, it is asked for once more as
            # tightly as before, and that answer is found, too. Nothing is paid for twice.
            one.known = (answer, self.judge(task, answer))
            return answer.stop_reason == "end" and one.known[1].verdict.usable

        future = self.ask(self.questions.question(task), task, keep)
        self._waiting[future] = None
        future.add_done_callback(lambda landed: self._landed.put((landed, one)))

    def _answered(self, one: _Open, future: Future[Answer]) -> None:
        try:
            answer = future.result()
        except TooLongError:
            one.too_long()
            return
        if answer.stop_reason == "context":
            one.too_long()
        elif answer.stop_reason == "filtered":
            one.instead(
                BookError("filtered", f"{self.model}: its content filter took away {one.where}")
            )
        else:
            known = one.known
            same = known is not None and known[0] is answer
            self._judged(one, known[1] if known and same else self.judge(one.task, answer))

    def _judged(self, one: _Open, judged: CheckedAnswer) -> None:
        problem = judged.verdict.problem
        if not problem:
            one.done(judged.said)
        elif one.first is None:
            log.info("%s: asking again about %s: %s", self.model, one.where, PROBLEMS[problem])
            one.first = judged
            if problem == "form" and judged.verdict.usable:
                one.task = self.questions.repair(one.task, judged.verdict.text)
            else:
                one.task = self.questions.tighter(one.task, PROBLEMS[problem])
            self._send(one)
        else:
            self._best(one, one.first, judged)

    def _best(self, one: _Open, first: CheckedAnswer, second: CheckedAnswer) -> None:
        """Take the better of two answers that both have a problem."""
        for judged in (second, first):
            if judged.verdict.usable:
                self.flags[_FLAGS[judged.verdict.problem]] = None
                one.done(judged.said)
                return
        problem = second.verdict.problem
        kind = _KINDS.get(problem, "bad_answer")
        one.instead(
            BookError(
                kind,
                f"{self.model}: no usable answer about {one.where}, asked twice: {PROBLEMS[problem]}",
                retryable=kind == "bad_answer",
            )
        )
