"""Answers of two servers with one model id are apart; answers of an older raypipe are found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from raypipe.embedders.openai import OpenAIEmbedding
from raypipe.models.bedrock import BedrockChat
from raypipe.models.calling.caller import ModelCaller
from raypipe.models.calling.model_calls import chat_call, embedding_call
from raypipe.models.context import ModelContext, server_key
from raypipe.models.openai import OpenAIChat
from raypipe.models.protocol import Answer, ModelCall, Question, TokenUsage, Vectors
from raypipe.state.local import LocalState
from tests.unit.models.fakes import FakeModel

QUESTION = Question("be brief", "why", max_tokens=50)
GPU_1, GPU_2 = "http://gpu-1:8000/v1", "http://gpu-2:8000/v1"

Call = Callable[[str, Any], ModelCall[Any]]


@dataclass(frozen=True)
class Chat(OpenAIChat):
    """Answers with the URL of its server."""

    def call(self, question: Question) -> Answer:
        return Answer(str(self.base_url), "end", TokenUsage(10, 5))


@dataclass(frozen=True)
class Embedding(OpenAIEmbedding):
    """Answers with a vector that tells its server."""

    def call(self, texts: Any, input_type: Any) -> Vectors:
        return Vectors([[1.0 if self.base_url == GPU_1 else 2.0]], TokenUsage(5))


def ask_chat(url: str, cache_name: str | None = None) -> ModelCall[Any]:
    return chat_call(Chat("qwen", url, cache_name=cache_name), QUESTION, lambda _: True)


def embed(url: str, cache_name: str | None = None) -> ModelCall[Any]:
    model = Embedding("bge", url, cache_name=cache_name, dimension=1)
    return embedding_call(model, ["a text"], "document")


@pytest.fixture
def answers(tmp_path: Path) -> Callable[..., list[Any]]:
    """Return a function that returns the answers to calls, each of a new process."""

    def answers(*calls: ModelCall[Any]) -> list[Any]:
        found = []
        for call in calls:
            caller = ModelCaller(ModelContext(LocalState(str(tmp_path))), "pool")
            found.append(caller.submit("book", call).result(10))
        return found

    return answers


@pytest.mark.parametrize("call", [ask_chat, embed])
def test_servers_are_apart_unless_they_share_a_name(
    answers: Callable[..., list[Any]], call: Call
) -> None:
    first, second, again = answers(call(GPU_1, None), call(GPU_2, None), call(GPU_1, None))
    assert first != second
    assert again == first
    [named, *shared] = answers(*(call(url, "qwen-awq") for url in (GPU_2, GPU_1)))
    assert shared == [named] == [second]
    [with_all, *others] = answers(*(call(url, "") for url in (GPU_1, GPU_2)))
    assert others == [with_all]


@pytest.mark.parametrize("call", [ask_chat, embed])
def test_answers_of_an_older_raypipe_are_found_by_every_server(
    answers: Callable[..., list[Any]], call: Call
) -> None:
    old = call(GPU_1, None)
    [key] = old.old_keys
    assert set(key) == {"operation", "model", "body"}
    [paid] = answers(replace(old, key=key, old_keys=()))
    assert answers(call(GPU_1, None), call(GPU_2, None)) == [paid, paid]


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://localhost:8000/v1", "localhost:8000"),
        ("http://127.0.0.1:8000/v1/", "localhost:8000"),
        ("http://[::1]:8000/v1", "localhost:8000"),
        ("https://GPU.example.org/v1", "gpu.example.org"),
        ("https://gpu.example.org:443/v1", "gpu.example.org"),
        ("http://gateway/team-a/v1", "gateway/team-a"),
        ("https://mine.openai.azure.com/openai/v1/", "mine.openai.azure.com/openai"),
        ("https://api.openai.com/v1", ""),
        (None, ""),
    ],
)
def test_the_name_of_a_server(url: str | None, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert OpenAIChat("m", url).cache_server == name
    if url is not None:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        assert OpenAIChat("m").cache_server == name


def test_other_models_are_known_by_their_id() -> None:
    assert server_key(BedrockChat("amazon.nova-lite-v1:0", endpoint_url=GPU_1)) == {}
    assert server_key(FakeModel()) == {}
    assert server_key(OpenAIChat("gpt-4.1-mini")) == {}


def test_a_server_changes_neither_recipe_nor_body() -> None:
    one, other = OpenAIChat("m", GPU_1), OpenAIChat("m", GPU_2, cache_name="x")
    assert one.identity() == other.identity()
    assert one.body(QUESTION) == other.body(QUESTION)
