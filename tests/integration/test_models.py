"""Real boto3 and the real openai client ask the model server."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from raypipe.models.bedrock import BedrockChat
from raypipe.models.bedrock_client import BedrockModel
from raypipe.models.openai import OpenAIChat
from raypipe.models.openai_client import OpenAIServer
from raypipe.models.protocol import Answer, ChatModel, Question
from raypipe.simulator.model_server import ModelServer
from raypipe.simulator.options import LatencyOptions
from tests.integration.model_clients import (
    BOOK,
    CHAT,
    CHATS,
    EMBEDDINGS,
    QUESTION,
    STRUCTURED,
    bedrock,
    counted,
    faulty,
    openai,
    serving,
    tokens,
)
from tests.unit.models_here import model_server, set_credentials


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    set_credentials(monkeypatch)


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with ModelServer() as running:
        yield running


@CHAT
def test_a_chat_model_answers_and_counts_as_the_server_does(
    server: ModelServer, made: Callable[..., Any]
) -> None:
    model: ChatModel = made(server.url)
    server.reset()
    model.check()
    server.reset()
    first, again = model.call(QUESTION), model.call(QUESTION)
    assert first == again
    assert first.text[:60] in " ".join(BOOK.split())
    assert first.stop_reason == "end"
    assert counted(server) == tokens([first, again])
    assert first.usage.input_tokens > len(BOOK) // 4
    assert server.stats()["repeated_prompts"]["prompts"] == 1  # the very same body


@CHAT
def test_a_schema_is_answered_in_json_where_the_model_takes_one(
    server: ModelServer, made: Callable[..., Any]
) -> None:
    said = made(server.url, structured=True).call(STRUCTURED)
    assert set(json.loads(said.text)) == {"title", "summary"}
    plain = made(server.url, structured=False)
    assert not {"outputConfig", "response_format"} & set(plain.body(STRUCTURED))
    assert plain.call(STRUCTURED).text[:1] != "{"


@CHAT
def test_every_way_to_stop(server: ModelServer, made: Callable[..., Any]) -> None:
    model = made(server.url)
    short = Question("", QUESTION.prompt, max_tokens=20)
    assert (model.call(short).stop_reason, model.call(short).usage.output_tokens) == (
        "max_tokens",
        20,
    )
    for fault, stop, empty in (
        ("max_tokens", "max_tokens", False),
        ("filtered", "filtered", True),
        ("empty", "end", True),
    ):
        with faulty(server, fault):
            said: Answer = model.call(QUESTION)
        assert (said.stop_reason, said.text == "") == (stop, empty)


def test_bedrock_counts_tokens_for_nothing(server: ModelServer) -> None:
    model = bedrock(server.url)
    server.reset()
    tokens_told = model.count_tokens(QUESTION)
    assert counted(server) == {"input": 0, "output": 0}
    assert tokens_told == model.call(QUESTION).usage.input_tokens
    unreachable = bedrock("http://127.0.0.1:9")
    assert unreachable.count_tokens(QUESTION) is None
    assert openai(server.url).count_tokens(QUESTION) is None


def test_the_service_tier_is_sent_and_changes_no_body(server: ModelServer) -> None:
    plain, flex = bedrock(server.url), bedrock(server.url, service_tier="flex")
    assert plain.body(QUESTION) == flex.body(QUESTION)
    assert plain.identity() == flex.identity()
    server.reset()
    assert plain.call(QUESTION).text == flex.call(QUESTION).text
    assert server.stats()["repeated_prompts"]["prompts"] == 0  # another request, it has the tier


def test_the_environment_names_the_endpoint() -> None:
    with model_server() as server:
        BedrockChat("eu.amazon.nova-lite-v1:0").check()
        OpenAIChat("some-model").check()
        assert server.stats()["calls"] == {
            "amazon.nova-lite-v1:0": {"converse": 1},
            "some-model": {"chat": 1},
        }


@CHAT
def test_one_client_serves_many_threads(made: Callable[..., Any]) -> None:
    with serving(latency=LatencyOptions(base_s=1.0)) as server:
        model = pickle.loads(pickle.dumps(made(server.url)))
        assert model == made(server.url)
        with ThreadPoolExecutor(64) as pool:
            said = list(pool.map(lambda _: model.call(QUESTION), range(64)))
        assert len(set(said)) == 1
        assert server.stats()["peak_in_flight"] > 32  # a pool of 10 is the default
        assert made(server.url).client() is model.client()


def test_every_client_has_settings_alone() -> None:
    models = [made("http://127.0.0.1:9") for made in (*CHATS, *EMBEDDINGS)]
    assert all(isinstance(one, BedrockModel | OpenAIServer) for one in models)
    pools = {one.pool for one in models}
    assert len(pools) == len(models)
    assert "bedrock/default/us-east-1/amazon.nova-lite-v1:0" in pools
    assert "openai/127.0.0.1:9/some-model" in pools
