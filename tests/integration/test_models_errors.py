"""What goes wrong between the real clients and a server, and what is said of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from raypipe.core.errors import SetupError
from raypipe.models.openai import OpenAIChat
from raypipe.simulator.model_server import ModelServer
from raypipe.simulator.options import FaultOptions, ModelOptions
from tests.integration.model_clients import (
    CHAT,
    CHATS,
    ERRORS,
    LASTING,
    PAID,
    QUESTION,
    answering,
    bedrock,
    faulty,
    openai,
    refused,
    serving,
)
from tests.unit.models_here import clear_environment, set_credentials


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    set_credentials(monkeypatch)


@pytest.fixture(scope="module")
def server() -> Iterator[ModelServer]:
    with ModelServer() as running:
        yield running


@CHAT
@pytest.mark.parametrize("fault", ERRORS)
def test_each_error_is_translated_after_one_request(
    server: ModelServer, made: Callable[..., Any], fault: str
) -> None:
    model = made(server.url, read_timeout_s=0.4)
    status, ours, theirs = ERRORS[fault]
    with faulty(server, fault):
        error = refused(model, lambda: model.call(QUESTION))
        assert server.stats()["offered"] == 1  # no client tried again
        if fault in LASTING:
            with pytest.raises(SetupError) as caught:
                model.check()
            assert "\n" not in str(caught.value)
        else:
            model.check()  # it is there, and will be well again
    assert (error.status, error.code) == (status, ours if made is bedrock else theirs)
    assert error.maybe_paid == (fault in PAID)
    assert error.original_status == (500 if (fault, made) == ("model_error", bedrock) else 0)
    waits = made is openai and status == 429
    assert (error.retry_after_s is not None) == waits


def test_how_long_the_server_asks_to_wait() -> None:
    body = json.dumps({"message": "Too many tokens, please wait.", "error": {}}).encode()
    kinds = {"x-amz-retry-after: 2500": 2.5, "Retry-After: 3": 3.0, "Retry-After: soon": None}
    for header, seconds in kinds.items():
        headers = f"x-amzn-ErrorType: ThrottlingException\r\n{header}\r\n"
        with answering(body, "429 Too Many Requests", headers) as url:
            model = bedrock(url)
            error = refused(model, partial(model.call, QUESTION))
            assert error.retry_after_s == seconds
            other = openai(url)
            error = refused(other, partial(other.call, QUESTION))
            assert error.retry_after_s == (None if "amz" in header else seconds)


def test_a_server_that_quotes_the_request_is_not_quoted() -> None:
    said = {"error": {"message": f"bad input: {QUESTION.prompt}"}, "message": QUESTION.prompt}
    with answering(json.dumps(said).encode(), "400 Bad Request") as url:
        for made in CHATS:
            model = made(url)
            assert refused(model, partial(model.call, QUESTION)).status == 400


STOPPED = {"output": {"message": {"content": [{"text": "x"}]}}, "usage": {}}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({**STOPPED}, "incomplete"),
        (
            {
                **STOPPED,
                "stopReason": "error",
                "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
            },
            "broke off the answer: error",
        ),
        ([], "unreadable"),
    ],
)
def test_answers_that_cannot_be_used_were_paid(body: Any, message: str) -> None:
    with answering(json.dumps(body).encode()) as url:
        error = refused(None, lambda: bedrock(url).call(QUESTION))
    assert (error.code, error.maybe_paid) == ("BadResponse", True)
    assert message in error.message


@CHAT
def test_nobody_is_there(made: Callable[..., Any]) -> None:
    model = made("http://127.0.0.1:9")
    error = refused(model, lambda: model.call(QUESTION))
    assert (error.code, error.status, error.maybe_paid) == ("ConnectionError", 0, False)
    with pytest.raises(SetupError, match="no server answers there; check"):
        model.check()


def test_without_credentials(server: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    clear_environment(monkeypatch)
    model = bedrock(server.url)
    with pytest.raises(SetupError, match="no AWS credentials found; run `aws configure`"):
        model.check()
    with pytest.raises(SetupError, match="no such profile in the AWS configuration"):
        bedrock(server.url, profile="nobody").check()
    with pytest.raises(SetupError, match="no region is set; set AWS_REGION or the option region"):
        bedrock(server.url, region=None).check()


def test_the_key_and_the_url_of_the_environment(
    server: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    model = OpenAIChat("some-model")
    assert model.call(QUESTION).stop_reason == "end"
    assert "sk-very" not in repr(vars(model))  # which is all that travels
    said = {"error": {"message": "Incorrect API key provided: sk-very-secret.", "code": "no"}}
    with answering(json.dumps(said).encode(), "401 Unauthorized") as url:
        error = refused(None, lambda: openai(url).call(QUESTION))
        assert "sk-very" not in str(error)
        with pytest.raises(SetupError, match=r"rejects the key in .* OPENAI_API_KEY"):
            openai(url).check()
        monkeypatch.delenv("OPENAI_API_KEY")
        with pytest.raises(SetupError, match=r"requires a key in .* OPENAI_API_KEY"):
            openai(url).check()


def test_a_context_that_is_too_small_and_a_model_that_is_not_there() -> None:
    options = ModelOptions(context_tokens=400, known=["amazon.nova-lite-v1:0", "some-model"])
    with serving(model=options) as server:
        for made in CHATS:
            model = made(server.url)
            model.check()
            error = refused(model, partial(model.call, QUESTION))
            assert (error.status, "too long" in error.message) == (400, True)
        with pytest.raises(SetupError, match="model not found; check model_id and region"):
            bedrock(server.url, model_id="amazon.nova-max-v9:0").check()
        with pytest.raises(SetupError, match="model not found"):
            openai(server.url, model_id="other").check()


def test_a_call_that_hangs_is_asked_once_and_paid() -> None:
    step = {"fault": "hang", "contains": "Summarize", "seconds": 1.0}
    with serving(faults=FaultOptions(script=[step])) as server:
        model = bedrock(server.url, read_timeout_s=0.3)
        assert refused(model, lambda: model.call(QUESTION)).code == "ReadTimeout"
        assert server.stats()["offered"] == 1
        assert model.call(QUESTION).stop_reason == "end"
