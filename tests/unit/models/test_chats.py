"""Bodies and settings of the chat clients; what servers answer is in tests/integration."""

from __future__ import annotations

import importlib.util
import json
from typing import Any

import pytest

from raypipe.core.errors import SetupError
from raypipe.models.bedrock import BedrockChat
from raypipe.models.openai import OpenAIChat, _answer
from raypipe.models.protocol import Question
from tests.unit.models_here import alone

SCHEMA = {"type": "object", "properties": {"z": {"type": "string"}, "a": {"type": "string"}}}
PLAIN = Question("Be brief.", "What is it about?", max_tokens=90, temperature=0.5)
WANTED = Question("", "What is it about?", 90, schema=SCHEMA, schema_name="book")


def test_bedrocks_body_is_all_that_enters_the_request() -> None:
    model = BedrockChat("us.amazon.nova-lite-v1:0", service_tier="flex")
    assert model.body(PLAIN) == {
        "system": [{"text": "Be brief."}],
        "messages": [{"role": "user", "content": [{"text": "What is it about?"}]}],
        "inferenceConfig": {"maxTokens": 90, "temperature": 0.5},
    }
    extra = {"reasoning_effort": "low"}
    model = BedrockChat("openai.gpt-oss-20b-1:0", send_temperature=False, extra=extra)
    body = model.body(WANTED)
    assert "system" not in body  # Bedrock refuses an empty one
    assert body["inferenceConfig"] == {"maxTokens": 90}
    assert body["additionalModelRequestFields"] == extra
    form = body["outputConfig"]["textFormat"]
    given = form["structure"]["jsonSchema"]
    assert (form["type"], given["name"]) == ("json_schema", "book")
    assert isinstance(given["schema"], str)
    assert list(json.loads(given["schema"])["properties"]) == ["z", "a"]  # in its own order


@pytest.mark.parametrize(
    ("model_id", "takes"),
    [
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", True),
        ("openai.gpt-oss-120b-1:0", True),
        ("amazon.nova-micro-v1:0", False),
        ("meta.llama3-1-8b-instruct-v1:0", False),
    ],
)
def test_a_schema_is_sent_where_the_model_is_known_to_take_it(model_id: str, takes: bool) -> None:
    assert ("outputConfig" in BedrockChat(model_id).body(WANTED)) == takes
    other = BedrockChat(model_id, structured=not takes)
    assert ("outputConfig" in other.body(WANTED)) != takes
    assert other.identity() != BedrockChat(model_id).identity()


def test_openais_body_is_all_that_enters_the_request() -> None:
    assert OpenAIChat("m").body(PLAIN) == {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "What is it about?"},
        ],
        "max_tokens": 90,
        "temperature": 0.5,
    }
    more = {"chat_template_kwargs": {"enable_thinking": False}}
    limit = "max_completion_tokens"
    model = OpenAIChat("o9", send_temperature=False, max_tokens_field=limit, extra=more)
    assert model.body(WANTED) == {
        "messages": [{"role": "user", "content": "What is it about?"}],
        "max_completion_tokens": 90,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "book", "schema": SCHEMA, "strict": True},
        },
        **more,
    }
    assert "response_format" not in OpenAIChat("m", structured=False).body(WANTED)


def test_where_a_model_runs_is_no_part_of_what_it_is() -> None:
    here = BedrockChat("eu.amazon.nova-lite-v1:0", region="eu-west-1", profile="p")
    there = BedrockChat("amazon.nova-lite-v1:0", endpoint_url="http://h", service_tier="flex")
    assert here.identity() == there.identity()
    assert here.body(PLAIN) == there.body(PLAIN)
    assert OpenAIChat("m", base_url="http://h/v1").identity() == OpenAIChat("m").identity()
    assert OpenAIChat("m", extra={"a": 1}).identity() != OpenAIChat("m").identity()
    assert BedrockChat("m.m", send_temperature=False).identity() != BedrockChat("m.m").identity()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model_id": ""}, "model_id must name a model"),
        ({"read_timeout_s": -1.0}, "read_timeout_s=-1.0 must be more than 0"),
        ({"base_url": "localhost:8000"}, "base_url must be a URL such as"),
        ({"base_url": "http://me:secret@host/v1"}, "without a password"),
        ({"max_tokens_field": "limit"}, "max_tokens_field=limit: choose max_tokens or"),
    ],
)
def test_openais_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        OpenAIChat(**{"model_id": "m", **settings})
    assert "secret" not in str(caught.value)


def test_an_unknown_service_tier_is_refused() -> None:
    with pytest.raises(ValueError, match="service_tier=fast: choose one of default, flex"):
        BedrockChat("m.m", service_tier="fast")


def test_without_the_package_openai(monkeypatch: pytest.MonkeyPatch) -> None:
    alone(monkeypatch)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SetupError, match=r"pip install 'raypipe\[openai\]'"):
        OpenAIChat("m", read_timeout_s=17).check()


def said(**message: Any) -> dict[str, Any]:
    choice = {"message": message, "finish_reason": "stop"}
    return {"choices": [choice], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}


def test_a_models_own_refusal_is_filtered() -> None:
    answer = _answer(said(content=None, refusal="I cannot."))
    assert (answer.text, answer.stop_reason, answer.usage.output_tokens) == ("", "filtered", 2)
    assert _answer(said(content=None)).text == ""
