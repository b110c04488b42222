"""Answers as OpenAI-compatible servers and gateways send them."""

from __future__ import annotations

from typing import Any

import pytest

from raypipe.models.error_policy import rule_for
from raypipe.models.openai_response import parse_completion
from raypipe.models.protocol import Answer, ModelError

TEXT = "Two friends keep a lighthouse. They quarrel, and they make up."
USAGE = {"prompt_tokens": 900, "completion_tokens": 40, "total_tokens": 940}


def completion(
    message: Any = None, reason: Any = "stop", usage: Any = USAGE, **more: Any
) -> dict[str, Any]:
    message = {"content": TEXT} if message is None else message
    return {"choices": [{"index": 0, "message": message, "finish_reason": reason}], "usage": usage,
            **more}  # fmt: skip


def parse(response: dict[str, Any], max_tokens: int = 100) -> Answer:
    return parse_completion(response, model="m", max_tokens=max_tokens, texts=["a secret book"])


def failure(response: dict[str, Any]) -> ModelError:
    with pytest.raises(ModelError) as caught:
        parse(response)
    return caught.value


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_a_field_with_thinking_is_no_part_of_the_answer(field: str) -> None:
    answer = parse(completion({"content": TEXT, field: "Okay. " * 10}))
    assert (answer.text, answer.stop_reason) == (TEXT, "end")
    assert 10 < answer.thinking_tokens < 30


def test_the_servers_count_of_thinking_is_used() -> None:
    usage = {**USAGE, "completion_tokens_details": {"reasoning_tokens": 33}}
    assert parse(completion(usage=usage)).thinking_tokens == 33
    usage = {**USAGE, "total_tokens": 970}  # Gemini counts thinking in the total only
    answer = parse(completion(usage=usage))
    assert (answer.thinking_tokens, answer.usage.output_tokens) == (30, 70)


@pytest.mark.parametrize(
    "message",
    [
        {"content": "<think>\nOkay, the user wants"},
        {"content": None, "reasoning_content": "Okay, the user wants"},
        {"content": "", "reasoning": "Okay, the user wants"},
        {"content": None},  # OpenAI hides the thinking
    ],
)
def test_an_answer_that_thinking_cut_off(message: Any) -> None:
    usage = {"prompt_tokens": 900, "completion_tokens": 100}
    answer = parse(completion(message, "length", usage))
    assert answer.is_cut_by_thinking
    assert (answer.text, answer.thinking_tokens) == ("", 100)


def test_an_answer_that_was_cut_without_thinking() -> None:
    assert not parse(completion(reason="length")).is_cut_by_thinking


@pytest.mark.parametrize(
    "message",
    [
        {"content": [{"type": "text", "text": TEXT}]},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Okay."}]},
                     {"type": "text", "text": TEXT}]},
        {"content": [TEXT]},
        {"content": TEXT, "refusal": "", "tool_calls": []},
    ],
)  # fmt: skip
def test_content_of_other_shapes(message: Any) -> None:
    assert parse(completion(message)).text == TEXT


def test_choices_of_other_shapes() -> None:
    assert parse({"choices": [{"text": TEXT, "finish_reason": "stop"}]}).text == TEXT
    two = completion()
    two["choices"] *= 2
    assert parse(two).text == TEXT


@pytest.mark.parametrize(
    ("reason", "stop"),
    [
        *((reason, "end") for reason in ("eos_token", "stop_sequence", "STOP", "end_turn", "eos")),
        *((reason, "max_tokens") for reason in ("max_tokens", "MAX_TOKENS", "token_limit")),
        *((reason, "filtered") for reason in ("SAFETY", "RECITATION", "sensitive", "refusal")),
        ("model_length", "context"),
        ("tool_calls", "end"),
        *((reason, "end") for reason in (None, "", "a new one")),
    ],
)
def test_the_stop_reasons_of_other_servers(reason: Any, stop: str) -> None:
    assert parse(completion(reason=reason)).stop_reason == stop


def test_an_unknown_stop_reason_is_judged_by_the_text() -> None:
    half = {"content": "Two friends keep a light"}
    assert parse(completion(half, "a new one")).stop_reason == "max_tokens"
    usage = {"prompt_tokens": 900, "completion_tokens": 100}
    assert parse(completion(reason=None, usage=usage)).stop_reason == "max_tokens"


@pytest.mark.parametrize("reason", ["abort", "error", "insufficient_system_resource", "load"])
def test_an_answer_that_the_server_broke_off_is_no_answer(reason: str) -> None:
    error = failure(completion(reason=reason))
    assert (error.code, error.usage is not None) == ("BadResponse", True)
    assert reason in error.message


def test_a_refusal_and_a_filter_give_no_text() -> None:
    answer = parse(completion({"content": None, "refusal": "I cannot."}))
    assert (answer.text, answer.stop_reason, answer.usage.output_tokens) == ("", "filtered", 40)
    assert parse(completion(reason="content_filter")).text == ""
    hate = {"hate": {"filtered": True, "severity": "high"}}
    azure = {"choices": [], "prompt_filter_results": [{"content_filter_results": hate}]}
    assert parse(azure).stop_reason == "filtered"


@pytest.mark.parametrize(
    ("response", "action", "words"),
    [
        ({"error": {"message": "Rate limit exceeded: 20 a minute", "code": 429}}, "throttled",
         "Rate limit exceeded: 20 a minute"),
        ({"error": {"message": "Provider returned error", "code": 502}}, "retry",
         "Provider returned error"),
        ({"object": "error", "message": "This model's maximum context length is 4096 tokens.",
          "type": "BadRequestError", "code": 40303}, "too_long", "maximum context length"),
        ({"error": "model is overloaded", "error_type": "overloaded"}, "retry", "overloaded"),
        ({"error": "something broke"}, "retry", "something broke"),
        ({"detail": "Too Many Requests"}, "throttled", "Too Many Requests"),
        ({"error": {"message": "No credit", "code": "insufficient_quota"}}, "stop", "No credit"),
        ({"choices": [{"error": {"code": 429, "message": "slow down"}, "finish_reason": "error"}]},
         "throttled", "slow down"),
    ],
)  # fmt: skip
def test_an_error_in_a_response_with_status_200(
    response: dict[str, Any], action: str, words: str
) -> None:
    error = failure(response)
    assert rule_for(error).action == action
    assert words in error.message
    assert not error.maybe_paid


def test_an_error_quotes_no_request() -> None:
    text = "bad input: " + "a secret book about nothing " * 3
    with pytest.raises(ModelError) as caught:
        parse_completion(
            {"error": {"message": text + "sk-1"}}, model="m", max_tokens=9, texts=[text],
            secrets=["sk-1"],
        )  # fmt: skip
    assert "secret" not in str(caught.value)


def test_a_response_without_choices_is_reported() -> None:
    assert "no choices" in failure({"usage": USAGE}).message
    assert "no choices" in failure({"choices": []}).message
    assert "no message" in failure({"choices": [{"finish_reason": "stop"}]}).message
