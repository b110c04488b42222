"""Bodies and settings of the chat clients; tests/integration covers the servers' answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from raypipe.models.bedrock import BedrockChat
from raypipe.models.openai import OpenAIChat
from raypipe.models.protocol import Question

SCHEMA = {"type": "object", "properties": {"z": {"type": "string"}, "a": {"type": "string"}}}
PLAIN_QUESTION = Question("Be brief.", "What is it about?", max_tokens=90, temperature=0.5)
SCHEMA_QUESTION = Question("", "What is it about?", 90, schema=SCHEMA, schema_name="book")


def test_the_body_of_bedrock_is_the_whole_request() -> None:
    model = BedrockChat("us.amazon.nova-lite-v1:0", service_tier="flex")
    assert model.body(PLAIN_QUESTION) == {
        "system": [{"text": "Be brief."}],
        "messages": [{"role": "user", "content": [{"text": "What is it about?"}]}],
        "inferenceConfig": {"maxTokens": 90, "temperature": 0.5},
    }
    extra = {"reasoning_effort": "low"}
    model = BedrockChat("openai.gpt-oss-20b-1:0", send_temperature=False, extra=extra)
    body = model.body(SCHEMA_QUESTION)
    assert "system" not in body  # Bedrock refuses an empty system prompt
    assert body["inferenceConfig"] == {"maxTokens": 90}
    assert body["additionalModelRequestFields"] == extra
    text_format = body["outputConfig"]["textFormat"]
    schema = text_format["structure"]["jsonSchema"]
    assert (text_format["type"], schema["name"]) == ("json_schema", "book")
    assert isinstance(schema["schema"], str)
    assert list(json.loads(schema["schema"])["properties"]) == ["z", "a"]  # in the schema's order


@pytest.mark.parametrize(
    ("model_id", "takes_schema"),
    [
        ("us.anthropic.claude-haiku-4-5-20251001-v1:0", True),
        ("openai.gpt-oss-120b-1:0", True),
        ("amazon.nova-micro-v1:0", False),
        ("meta.llama3-1-8b-instruct-v1:0", False),
    ],
)
def test_a_schema_is_sent_to_models_that_are_known_to_take_schemas(
    model_id: str, takes_schema: bool
) -> None:
    assert ("outputConfig" in BedrockChat(model_id).body(SCHEMA_QUESTION)) == takes_schema
    other = BedrockChat(model_id, structured=not takes_schema)
    assert ("outputConfig" in other.body(SCHEMA_QUESTION)) != takes_schema
    assert other.identity() != BedrockChat(model_id).identity()


def test_the_body_of_openai_is_the_whole_request() -> None:
    assert OpenAIChat("m").body(PLAIN_QUESTION) == {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "What is it about?"},
        ],
        "max_tokens": 90,
        "temperature": 0.5,
    }
    extra = {"chat_template_kwargs": {"enable_thinking": False}}
    limit = "max_completion_tokens"
    model = OpenAIChat("o9", send_temperature=False, max_tokens_field=limit, extra=extra)
    assert model.body(SCHEMA_QUESTION) == {
        "messages": [{"role": "user", "content": "What is it about?"}],
        "max_completion_tokens": 90,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "book", "schema": SCHEMA, "strict": True},
        },
        **extra,
    }
    assert "response_format" not in OpenAIChat("m", structured=False).body(SCHEMA_QUESTION)


def test_region_and_endpoint_are_not_part_of_the_identity() -> None:
    here = BedrockChat("eu.amazon.nova-lite-v1:0", region="eu-west-1", profile="p")
    there = BedrockChat("amazon.nova-lite-v1:0", endpoint_url="http://h", service_tier="flex")
    assert here.identity() == there.identity()
    assert here.body(PLAIN_QUESTION) == there.body(PLAIN_QUESTION)
    assert OpenAIChat("m", base_url="http://h/v1").identity() == OpenAIChat("m").identity()
    assert OpenAIChat("m", extra={"a": 1}).identity() != OpenAIChat("m").identity()
    assert BedrockChat("m.m", send_temperature=False).identity() != BedrockChat("m.m").identity()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model_id": ""}, "model_id must name a model"),
        ({"read_timeout_s": -1.0}, "read_timeout_s=-1.0 must be more than 0"),
        ({"base_url": "localhost:8000"}, "base_url must be a URL such as"),
        ({"base_url": "http://me:secret@host/v1"}, "must not contain a user name, password"),
        ({"max_tokens_field": "limit"}, "max_tokens_field=limit: choose max_tokens or"),
    ],
)
def test_wrong_settings_of_openai_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        OpenAIChat(**{"model_id": "m", **settings})
    assert "secret" not in str(caught.value)


def test_an_unknown_service_tier_is_refused() -> None:
    with pytest.raises(ValueError, match="service_tier=fast: choose one of default, flex"):
        BedrockChat("m.m", service_tier="fast")
