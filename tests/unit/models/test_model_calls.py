from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from raypipe.models.adaptation import Adaptation
from raypipe.models.calling.caller import ModelCaller
from raypipe.models.calling.model_calls import chat_call, embedding_call
from raypipe.models.context import ModelContext
from raypipe.models.openai import OpenAIChat
from raypipe.models.protocol import Answer, InputType, Question, TokenUsage, Vectors
from raypipe.state.local import LocalState
from tests.unit.models.fakes import FakeModel


class FakeEmbedding:
    name, base_model, pool = "fake/embed", "embed", "pool"
    dimension, max_texts, max_chars = 2, 10, 100

    def __init__(self, vectors: list[list[float]] | None = None) -> None:
        self.vectors = vectors
        self.calls: list[list[str]] = []

    def identity(self) -> Mapping[str, Any]:
        return {}

    def check(self) -> None:
        pass

    def body(self, texts: Sequence[str], input_type: InputType) -> Mapping[str, Any]:
        return {"texts": list(texts), "type": input_type}

    def call(self, texts: Sequence[str], input_type: InputType) -> Vectors:
        self.calls.append(list(texts))
        return Vectors(self.vectors or [[0.1, -2.5e-9]] * len(texts), TokenUsage(9, 0))


def test_embeddings_are_cached_by_their_key_and_read_back_exactly(tmp_path: Path) -> None:
    state, model = LocalState(str(tmp_path)), FakeEmbedding()
    caller = ModelCaller(ModelContext(state), "pool")
    call = embedding_call(model, ["one", "two"], "document", caller.token_estimate)
    first = caller.submit("any", call).result(5)
    second = ModelCaller(ModelContext(state), "pool").submit("other", call).result(5)
    assert second == first
    assert len(model.calls) == 1
    (name,) = state.list("cache/")
    assert name.startswith("cache/embeddings-")
    caller.submit("any", embedding_call(model, ["one", "two"], "query")).result(5)
    assert len(model.calls) == 2


@pytest.mark.parametrize("vectors", [[[1.0, 2.0]], [[1.0, 2.0], [1.0]], [[1.0, math.nan]] * 2])
def test_vectors_of_another_shape_or_not_finite_are_not_cacheable(
    vectors: list[list[float]],
) -> None:
    call = embedding_call(FakeEmbedding(vectors), ["one", "two"], "document")
    assert not call.is_cacheable(call.send())
    call = embedding_call(FakeEmbedding(), ["one"], "document")
    assert call.is_cacheable(Vectors([[1.0, 2.0]]))


def test_an_answer_survives_json() -> None:
    call = chat_call(FakeModel(), Question("", "why", 5), lambda _: True)
    answer = Answer('He said \u201cno\u201d and "yes" \ud800', "max_tokens", TokenUsage(3, 4))
    assert call.from_json(json.loads(json.dumps(call.to_json(answer)))) == answer
    for wrong in ({**call.to_json(answer), "stop": "bored"}, {"text": "only"}):
        with pytest.raises((ValueError, KeyError)):
            call.from_json(wrong)


def test_the_schema_counts_as_tokens_and_the_body_is_the_key() -> None:
    model = FakeModel()
    plain = chat_call(model, Question("be brief", "why", 5), lambda _: True)
    schema = {"type": "object", "description": "x" * 600}
    structured = chat_call(model, Question("be brief", "why", 5, schema=schema), lambda _: True)
    assert structured.request.input_tokens >= plain.request.input_tokens + 200
    assert plain.key == {
        "operation": "chat",
        "model": "fake-1",
        "body": {"system": "be brief", "prompt": "why"},
    }


def test_the_key_is_the_question_however_it_is_sent() -> None:
    model = OpenAIChat(model_id="m", base_url="http://localhost:1/v1")
    question = Question("be brief", "why", 5, schema={"type": "object"})
    call = chat_call(model, question, lambda _: True)
    adapted = Adaptation(moves_system=True, drops_schema=True, thinking_room=100).apply(question)
    others = (
        chat_call(model, question, lambda _: True, sent=adapted),
        chat_call(model, replace(question, max_tokens=9), lambda _: True),
    )
    assert [other.key for other in others] == [call.key] * 2
    assert chat_call(model, replace(question, prompt="how"), lambda _: True).key != call.key


def test_the_callers_estimate_learns_from_answers() -> None:
    caller = ModelCaller(ModelContext(), "pool")
    usage = TokenUsage(10_000, 5)
    model = FakeModel([Answer("yes", "end", usage)])
    question = Question("", "\u4e16" * 5_000, 5)  # 15,000 bytes
    call = chat_call(model, question, lambda _: True, caller.token_estimate)
    caller.submit("b", call).result(5)
    assert 1.5 < caller.token_estimate.bytes_per_token < 3.0


def test_an_answer_without_usage_counts_by_the_estimate() -> None:
    caller = ModelCaller(ModelContext(), "pool")
    model = FakeModel([Answer("yes", "end")])
    caller.submit("b", chat_call(model, Question("", "x" * 300, 5), lambda _: True)).result(5)
    assert caller.quota.totals().input_tokens >= 100
    assert caller.quota.totals().calls == 1
