"""Run the tasks of one book: ask, check, ask again, then use the answer or give up."""

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
from raypipe.summarizers.llm.answer_checker import (
    AnswerChecker,
    CheckedAnswer,
    UsableAnswer,
    check_safely,
)
from raypipe.summarizers.llm.checks import PROBLEMS
from raypipe.summarizers.llm.questions import QuestionWriter, Task

log = logging.getLogger(__name__)

STOP_GRACE_S = 15.0
"""Seconds that a stopped book waits for its calls. A stopped run must end within 30 s, sink and
ledger included."""
_STOP_CHECK_INTERVAL_S = 1.0

_FLAGS = {
    "cut": "trimmed",
    "long": "trimmed",
    "repeats": "repeats",
    "boilerplate": "boilerplate",
    "language": "other_language",
    "form": "unstructured",
}
"""Flags of a document whose answer was used despite a problem, by problem."""
FAILURE_KINDS = {"refused": "refused", "cut": "cut"}
"""Failure kinds by problem; all other problems fail as `bad_answer`."""
_MAX_THINKING_TRIES = 3
"""Tries of a task whose answer thinking cut off, each with more room."""


class AskModel(Protocol):
    """Get an answer from the cache or from the model."""

    def __call__(
        self, question: Question, task: Task, keep: Callable[[Answer], bool]
    ) -> Future[Answer]:
        """Return a future of the answer, or of an exception of `Caller.submit`.

        Args:
            question: The question.
            task: The task that it was written for.
            keep: Whether the cache may keep an answer.
        """


@dataclass
class _PendingTask:
    """A task that waits for its answer.

    Attributes:
        task: The task; replaced when it is asked again.
        location: The part of the book, for messages.
        on_done: Called with a usable answer.
        on_too_long: Called if the task is too long for one call.
        on_give_up: Called with the reason if no answer can be used.
        first: The checked first answer, if the task is asked again.
        last_checked: The last answer that was checked, and its result: checks take time.
        thinking_tries: Number of answers that thinking cut off.
    """

    task: Task
    location: str
    on_done: Callable[[UsableAnswer], None]
    on_too_long: Callable[[], None]
    on_give_up: Callable[[BookError], None]
    first: CheckedAnswer | None = None
    last_checked: tuple[Answer, CheckedAnswer] | None = None
    thinking_tries: int = 0


@dataclass
class TaskRunner:
    """Run the tasks of one book, many at a time; all callbacks run in the book's own thread.

    Args:
        questions: Writes the questions.
        ask: Gets the answers.
        checker: Checks the answers.
        model_name: The model's name, for messages.
        stop_check: Returns the stop reason, or '' to continue.
        stop_grace_s: Seconds that a stopped book waits for calls in flight: they are paid for,
            but a call may hang.
        has_more_room: Whether another try of a question gets more tokens than an answer that
            thinking cut off.

    Attributes:
        flags: Flags of answers that were used despite a problem, in the order of their use.
    """

    questions: QuestionWriter
    ask: AskModel
    checker: AnswerChecker
    model_name: str
    stop_check: StopCheck = never_stopped
    stop_grace_s: float = STOP_GRACE_S
    has_more_room: Callable[[Question, Answer], bool] = lambda question, answer: False
    flags: dict[str, None] = field(default_factory=dict, init=False)
    _finished: SimpleQueue[tuple[Future[Answer], _PendingTask]] = field(
        default_factory=SimpleQueue, init=False
    )
    _waiting: dict[Future[Answer], None] = field(default_factory=dict, init=False)

    def submit(
        self,
        task: Task,
        location: str,
        *,
        on_done: Callable[[UsableAnswer], None],
        on_too_long: Callable[[], None],
        on_give_up: Callable[[BookError], None],
    ) -> None:
        """Ask a task; call one of the three callbacks later, or `on_too_long` immediately.

        Args:
            task: The task.
            location: The part of the book, for messages.
            on_done: Called with a usable answer.
            on_too_long: Called if the task is too long for one call.
            on_give_up: Called with the reason if no answer can be used.
        """
        if self.questions.fits(task):
            self._ask(_PendingTask(task, location, on_done, on_too_long, on_give_up))
        else:
            on_too_long()

    def run(self) -> None:
        """Process answers and run callbacks until no task is pending.

        Raises:
            BookError, BookLeftError, SetupError: The first exception of a call or callback. Calls
                that are not sent yet are canceled; answers of calls in flight are paid for and
                kept in the cache.
        """
        try:
            while self._waiting:
                future, pending = self._next_finished()
                del self._waiting[future]
                self._process(pending, future)
        finally:
            for future in self._waiting:
                future.cancel()

    def _next_finished(self) -> tuple[Future[Answer], _PendingTask]:
        """Return the next finished call; after a stop, wait at most `stop_grace_s`."""
        stopped_at = math.inf
        while True:
            try:
                return self._finished.get(timeout=_STOP_CHECK_INTERVAL_S)
            except Empty:
                if reason := self.stop_check():
                    stopped_at = min(stopped_at, time.monotonic())
                    if time.monotonic() - stopped_at > self.stop_grace_s:
                        raise BookLeftError(reason) from None

    def _ask(self, pending: _PendingTask) -> None:
        task = pending.task

        def keep(answer: Answer) -> bool:
            # An answer that is only too long, for example, is kept too. When it is found again,
            # the same retry follows, and the cache has that answer as well: nothing is paid twice.
            checked = check_safely(self.checker, task, answer)
            pending.last_checked = (answer, checked)
            return answer.stop_reason == "end" and checked.result.is_usable

        future = self.ask(self.questions.write(task), task, keep)
        self._waiting[future] = None
        future.add_done_callback(lambda finished: self._finished.put((finished, pending)))

    def _process(self, pending: _PendingTask, future: Future[Answer]) -> None:
        try:
            answer = future.result()
        except TooLongError:
            pending.on_too_long()
            return
        if answer.stop_reason == "context":
            pending.on_too_long()
        elif answer.stop_reason == "filtered":
            pending.on_give_up(
                BookError(
                    "filtered",
                    f"{self.model_name}: its content filter took away {pending.location}"
                    + (f" ({answer.server_reason})" if answer.server_reason else ""),
                )
            )
        elif answer.is_cut_by_thinking:
            self._ask_with_more_room(pending, answer)
        else:
            self._use_or_ask_again(pending, self._check(pending, answer))

    def _ask_with_more_room(self, pending: _PendingTask, answer: Answer) -> None:
        """Ask the same task again after thinking took the tokens of its answer, or give up."""
        pending.thinking_tries += 1
        used = f"thinking used up {answer.thinking_tokens:,} tokens of the answer about"
        question = self.questions.write(pending.task)
        if pending.thinking_tries < _MAX_THINKING_TRIES and self.has_more_room(question, answer):
            log.info(
                "%s: %s %s; asking again with room for more",
                self.model_name,
                used,
                pending.location,
            )
            self._ask(pending)
            return
        checked = self._check(pending, answer)
        if checked.result.is_usable:  # the beginning of an answer, after the thinking
            self._use_or_ask_again(pending, checked)
            return
        pending.on_give_up(
            BookError(
                "cut",
                f"{self.model_name}: {used} {pending.location}, and no more can be given; turn "
                "thinking off, see docs/models.md, or use another model",
                retryable=True,
            )
        )

    def _check(self, pending: _PendingTask, answer: Answer) -> CheckedAnswer:
        last = pending.last_checked
        if last and last[0] is answer:
            return last[1]
        return check_safely(self.checker, pending.task, answer)

    def _use_or_ask_again(self, pending: _PendingTask, checked: CheckedAnswer) -> None:
        problem = checked.result.problem
        if not problem:
            pending.on_done(checked.usable_answer)
        elif pending.first is None:
            log.info(
                "%s: asking again about %s: %s",
                self.model_name,
                pending.location,
                PROBLEMS[problem],
            )
            pending.first = checked
            if problem == "form" and checked.result.is_usable:
                pending.task = self.questions.repair_task(pending.task, checked.result.text)
            else:
                pending.task = self.questions.retry_task(pending.task, PROBLEMS[problem])
            self._ask(pending)
        else:
            self._use_better(pending, pending.first, checked)

    def _use_better(
        self, pending: _PendingTask, first: CheckedAnswer, second: CheckedAnswer
    ) -> None:
        """Use the better of two answers that both have a problem, or give up."""
        for checked in (second, first):
            if checked.result.is_usable:
                self.flags[_FLAGS[checked.result.problem]] = None
                pending.on_done(checked.usable_answer)
                return
        problem = second.result.problem
        kind = FAILURE_KINDS.get(problem, "bad_answer")
        pending.on_give_up(
            BookError(
                kind,
                f"{self.model_name}: no usable answer about {pending.location}, asked twice:"
                f" {PROBLEMS[problem]}",
                retryable=kind == "bad_answer",
            )
        )
