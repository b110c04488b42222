"""A scripted chat model, and a quota client that records its requests."""

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
    """Answers each call with the number of the call, or with the next step of `script`."""

    script: Iterable[Exception | Answer] = ()
    before: Callable[[str], None] = lambda prompt: None
    base_model: str = "fake-1"
    pool: str = "pool"
    name: str = "fake/fake-1"
    prompts: list[str] = field(default_factory=list)
    _lock: Any = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._steps = iter(self.script)

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
            step = next(self._steps, None)
        self.before(question.prompt)
        if isinstance(step, Exception):
            raise step
        return step or Answer(f"answer {number}", "end", USAGE)


@dataclass
class FakeQuota:
    """Grants every lease at once; asserts that each lease is settled once."""

    requests: list[CallRequest] = field(default_factory=list)
    outcomes: dict[int, CallOutcome] = field(default_factory=dict)
    cached: int = 0
    refusal: Exception | None = None
    _lock: Any = field(default_factory=threading.Lock)

    def acquire(self, request: CallRequest, stop_check: StopCheck = never_stopped) -> Lease:
        with self._lock:
            if self.refusal:
                raise self.refusal
            self.requests.append(request)
            return Lease(len(self.requests))

    def settle(self, lease: Lease, outcome: CallOutcome) -> None:
        with self._lock:
            assert lease.number not in self.outcomes, "settled twice"
            self.outcomes[lease.number] = outcome

    def count_cached_calls(self, calls: int) -> None:
        with self._lock:
            self.cached += calls

    def totals(self) -> Totals:
        return Totals(calls=len(self.outcomes), cached_calls=self.cached)

    @property
    def all_settled(self) -> bool:
        return set(self.outcomes) == set(range(1, len(self.requests) + 1))


def fake_call(model: FakeModel, prompt: str = "why", *, keep: bool = True) -> ModelCall[Answer]:
    return chat_call(model, Question("be brief", prompt, max_tokens=50), lambda _: keep)
