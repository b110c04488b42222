"""A model that does as it is told, and a quota that writes down what it is asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from raypipe.core.stop import StopCheck, never_stopped
from raypipe.models.calling.model_calls import chat_call
from raypipe.models.protocol import Answer, ModelCall, Question, TokenUsage
from raypipe.quota.protocol import CallOutcome, CallRequest, Lease, Totals

USAGE = TokenUsage(100, 20)


@dataclass
class FakeModel:
    """Answers with a number that no other call gets, unless `does` has something else to do."""

    does: Iterable[Exception | Answer] = ()
    before: Callable[[str], None] = lambda prompt: None
    base_model: str = "fake-1"
    pool: str = "pool"
    name: str = "fake/fake-1"
    prompts: list[str] = field(default_factory=list)
    _lock: Any = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._script = iter(self.does)

    def identity(self) -> Mapping[str, Any]:
        return {"model": self.base_model}

    def check(self) -> None:
        pass

    def body(self, question: Question) -> Mapping[str, Any]:
        return {"system": question.system, "prompt": question.prompt}

    def count_tokens(self, question: Question) -> int | None:
        return None

    def call(self, question: Question) -> Answer:
        with self._lock:
            self.prompts.append(question.prompt)
            number = len(self.prompts)
            step = next(self._script, None)
        self.before(question.prompt)
        if isinstance(step, Exception):
            raise step
        return step or Answer(f"answer {number}", "end", USAGE)


@dataclass
class FakePermits:
    """Gives every lease at once; holds that each is settled once."""

    needs: list[CallRequest] = field(default_factory=list)
    spent: dict[int, CallOutcome] = field(default_factory=dict)
    cached: int = 0
    refuses: Exception | None = None
    _lock: Any = field(default_factory=threading.Lock)

    def acquire(self, need: CallRequest, stop_check: StopCheck = never_stopped) -> Lease:
        with self._lock:
            if self.refuses:
                raise self.refuses
            self.needs.append(need)
            return Lease(len(self.needs))

    def settle(self, lease: Lease, spent: CallOutcome) -> None:
        with self._lock:
            assert lease.number not in self.spent, "settled twice"
            self.spent[lease.number] = spent

    def count_cached_calls(self, calls: int) -> None:
        with self._lock:
            self.cached += calls

    def totals(self) -> Totals:
        return Totals(calls=len(self.spent), cached_calls=self.cached)

    @property
    def balanced(self) -> bool:
        return set(self.spent) == set(range(1, len(self.needs) + 1))


def ask(model: FakeModel, prompt: str = "why", *, keep: bool = True) -> ModelCall[Answer]:
    return chat_call(model, Question("be brief", prompt, max_tokens=50), lambda _: keep)
