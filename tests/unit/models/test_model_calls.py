from __future__ import annotations

import json
import math
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from raypipe.models.calling.caller import ModelCaller
from raypipe.models.calling.model_calls import TokenEstimate, chat_call, embedding_call
from raypipe.models.context import ModelContext
from raypipe.models.protocol import Answer, InputType, Question, TokenUsage, Vectors
from raypipe.state.local import LocalState
from tests.unit.models.fakes import FakeModel


class FakeEmbedding:
    name, base_model, pool = "fake/embed", "embed", "pool"
    dimension, max_texts, max_chars = 2, 10, 100

    def __init__(self, vectors: list[list[float]] | None = None) -> None:
        self.vectors = vectors
        self.asked: list[list[str]] = []

    def identity(self) -> Mapping[str, Any]:
        return {}

    def check(self) -> None:
        pass

    def body(self, texts: Sequence[str], input_type: InputType) -> Mapping[str, Any]:
        return {"texts": list(texts), "type": input_type}

    def call(self, texts: Sequence[str], input_type: InputType) -> Vectors:
        self.asked.append(list(texts))
        return Vectors(self.vectors or [[0.1, -2.5e-9]] * len(texts), TokenUsage(9, 0))


def test_embeddings_are_kept_by_their_key_and_come_back_exactly(tmp_path: Path) -> None:
    state, model = LocalState(str(tmp_path)), FakeEmbedding()
    caller = ModelCaller(ModelContext(state), "pool")
    call = embedding_call(model, ["one", "two"], "document", caller.token_estimate)
    first = caller.submit("any", call).result(5)
    again = ModelCaller(ModelContext(state), "pool").submit("other", call).result(5)
    assert again == first
    assert len(model.asked) == 1
    (name,) = state.list("cache/")
    assert name.startswith("cache/embeddings-")
    caller.submit("any", embedding_call(model, ["one", "two"], "query")).result(5)
    assert len(model.asked) == 2


@pytest.mark.parametrize("vectors", [[[1.0, 2.0]], [[1.0, 2.0], [1.0]], [[1.0, math.nan]] * 2])
def test_vectors_of_another_shape_or_not_finite_are_not_kept(vectors: list[list[float]]) -> None:
    call = embedding_call(FakeEmbedding(vectors), ["one", "two"], "document")
    assert not call.is_cacheable(call.send())
    assert embedding_call(FakeEmbedding(), ["one"], "document").is_cacheable(Vectors([[1.0, 2.0]]))


def test_an_answer_survives_json() -> None:
    call = chat_call(FakeModel(), Question("", "why", 5), lambda _: True)
    answer = Answer('He said \u201cno\u201d and "yes" \ud800', "max_tokens", TokenUsage(3, 4))
    assert call.from_json(json.loads(json.dumps(call.to_json(answer)))) == answer
    for wrong in ({**call.to_json(answer), "stop": "bored"}, {"text": "only"}):
        with pytest.raises((ValueError, KeyError)):
            call.from_json(wrong)


def test_the_schema_counts_and_what_is_asked_is_the_key() -> None:
    model = FakeModel()
    plain = chat_call(model, Question("be brief", "why", 5), lambda _: True)
    schema = {"type": "object", "description": "x" * 600}
    formed = chat_call(model, Question("be brief", "why", 5, schema=schema), lambda _: True)
    assert formed.request.input_tokens >= plain.request.input_tokens + 200
    assert plain.key == {
        "operation": "chat",
        "model": "fake-1",
        "body": {"system": "be brief", "prompt": "why"},
    }


def test_an_estimate_is_not_too_low_at_first_and_learns() -> None:
    estimate = TokenEstimate()
    assert estimate.tokens(3_000) >= 1_000
    for _ in range(60):
        estimate.learn(4_000, 1_000)
    assert estimate.tokens(4_000) == pytest.approx(1_000, abs=30)
    estimate.learn(4_000, 2_000)  # too low is learned at once
    assert estimate.tokens(4_000) > 1_250


def test_an_estimate_learns_nothing_from_what_tells_nothing() -> None:
    estimate = TokenEstimate()
    estimate.learn(20, 40)
    estimate.learn(4_000, 0)
    assert estimate.bytes_per_token == 3.0
    for _ in range(99):
        estimate.learn(10**9, 1)
    assert estimate.bytes_per_token <= 8.0


def test_calls_teach_the_callers_estimate(tmp_path: Path) -> None:
    caller = ModelCaller(ModelContext(), "pool")
    usage = TokenUsage(10_000, 5)
    model = FakeModel([Answer("yes", "end", usage)])
    question = Question("", "\u4e16" * 5_000, 5)  # 15,000 bytes
    caller.submit("b", chat_call(model, question, lambda _: True, caller.token_estimate)).result(5)
    assert 1.5 < caller.token_estimate.bytes_per_token < 3.0


def test_a_server_that_tells_no_usage_is_counted_by_the_estimate() -> None:
    caller = ModelCaller(ModelContext(), "pool")
    model = FakeModel([Answer("yes", "end")])
    caller.submit("b", chat_call(model, Question("", "x" * 300, 5), lambda _: True)).result(5)
    assert caller.quota.totals().input_tokens >= 100
    assert caller.quota.totals().calls == 1


def test_learning_is_safe_for_many_threads() -> None:
    estimate = TokenEstimate()

    def learn() -> None:
        for _ in range(200):
            estimate.learn(4_000, 1_000)

    threads = [threading.Thread(target=learn) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert estimate.bytes_per_token == pytest.approx(4.0, abs=0.01)
