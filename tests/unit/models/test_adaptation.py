from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raypipe.models.adaptation import Adaptation, find_adaptation
from raypipe.models.adapter import ModelAdapter
from raypipe.models.protocol import Answer, ModelError, Question, TokenUsage
from raypipe.state.local import LocalState
from tests.unit.models.fakes import FakeModel

QUESTION = Question("Be brief.", "What is it about?", 5_000, schema={"type": "object"})


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ("This model doesn't support system messages. Try again without system messages or use a "
         "model that supports system messages.", {"moves_system": True}),
        ("System role not supported", {"moves_system": True}),
        ("Conversation roles must alternate user/assistant/user/assistant/...",
         {"moves_system": True}),
        ("The maximum tokens you requested exceeds the model limit of 4096. Try again with a "
         "maximum tokens value that is lower than 4096.", {"max_output_tokens": 4_096}),
        ("max_tokens is too large: 5000. This model supports at most 4096 completion tokens, "
         "whereas you provided 5000.", {"max_output_tokens": 4_096}),
        ("max_tokens: 5000 > 4096, which is the maximum allowed number of output tokens",
         {"max_output_tokens": 4_096}),
        ("`max_tokens` must be less than or equal to `4096`, the maximum value for `max_tokens` is "
         "less than the `context_window` for this model", {"max_output_tokens": 4_096}),
        ("Malformed input request: #/textGenerationConfig/maxTokenCount: 5000 is not less or equal "
         "to 4096", {"max_output_tokens": 4_096}),
        ("Range of max_tokens should be [1, 4096]", {"max_output_tokens": 4_096}),
        ("Input validation error: `max_new_tokens` must be <= 512. Given: 5000",
         {"max_output_tokens": 512}),
        ("This model's maximum context length is 4096 tokens. However, you requested 5519 tokens "
         "(4000 in the messages, 1519 in the completion).", {"context_tokens": 4_096}),
        ("'max_tokens' or 'max_completion_tokens' is too large: 5000. This model's maximum context "
         "length is 4096 tokens and your request has 4000 input tokens", {"context_tokens": 4_096}),
        ("the request exceeds the available context size (4096 tokens), try increasing it",
         {"context_tokens": 4_096}),
        ("prompt is too long: 200049 tokens > 200000 maximum", {"context_tokens": 200_000}),
        ("Prompt contains 9000 tokens, too large for model with 4096 maximum context length",
         {"context_tokens": 4_096}),
        ("response_format type is unavailable now", {"drops_schema": True}),
        ("The model does not support structured output.", {"drops_schema": True}),
        ("Failed to parse grammar", {"drops_schema": True}),
        ("response_format value as json_schema is enabled only for api versions 2024-08-01-preview "
         "and later", {"drops_schema": True}),
        ("something else", None),
        ("Input is too long for requested model.", None),  # names no limit
    ],
)  # fmt: skip
def test_a_refusal_of_each_server_is_understood(message: str, found: Any) -> None:
    error = ModelError("ValidationException", message, status=400)
    assert find_adaptation(error, QUESTION) == (None if found is None else Adaptation(**found))
    assert find_adaptation(ModelError("x", message, status=403), QUESTION) is None


def test_a_question_is_adapted() -> None:
    known = Adaptation(True, True, max_output_tokens=5_500, thinking_room=1_024)
    sent = known.apply(QUESTION)
    assert (sent.system, sent.prompt) == ("", "Be brief.\n\nWhat is it about?")
    assert (sent.schema, sent.max_tokens) == (None, 5_500)
    assert Adaptation().apply(QUESTION) == QUESTION


def thinking(tokens: int, stop: Any = "end", answer: int = 40) -> Answer:
    return Answer("x", stop, TokenUsage(100, tokens + answer), tokens)


def make_adapter(folder: Path, **settings: Any) -> ModelAdapter:
    return ModelAdapter(FakeModel(**settings), LocalState(str(folder)), 128_000)


def test_the_room_for_thinking_is_found_and_kept(tmp_path: Path) -> None:
    adapter, other = make_adapter(tmp_path), make_adapter(tmp_path)
    adapter.observe(thinking(0))
    assert adapter.apply(QUESTION) == QUESTION
    adapter.observe(thinking(800))
    assert adapter.apply(QUESTION).max_tokens == 5_000 + 2_048
    other.observe(thinking(300))  # of another process, which saw less
    assert make_adapter(tmp_path).adaptation == Adaptation(thinking_room=2_048, thinking_tokens=300)
    adapter.observe(thinking(7_048, "max_tokens", answer=0))
    assert adapter.adaptation.thinking_room == 32_768
    assert adapter.has_more_room(QUESTION, thinking(7_048, "max_tokens", answer=0))
    assert make_adapter(tmp_path, name="fake/other").adaptation == Adaptation()


def test_the_room_is_bounded_by_the_window() -> None:
    adapter = ModelAdapter(FakeModel(), None, 10_000)
    adapter.observe(thinking(9_000))
    assert adapter.adaptation.thinking_room == 4_000
    assert not adapter.has_more_room(QUESTION, thinking(9_000, "max_tokens", answer=0))


def test_what_two_processes_find_is_merged(tmp_path: Path) -> None:
    adapter, other = make_adapter(tmp_path), make_adapter(tmp_path)
    assert adapter.learn(Adaptation(moves_system=True, context_tokens=8_192))
    assert other.learn(Adaptation(drops_schema=True, context_tokens=4_096))
    assert not other.learn(Adaptation(drops_schema=True))
    adapter.record_check("key")
    assert make_adapter(tmp_path).adaptation == Adaptation(True, True, context_tokens=4_096)
    assert make_adapter(tmp_path).checked == "key"


@pytest.mark.parametrize("data", [b"", b"[]", b'{"version": 1, "adaptation": {"moves_system": 1}}'])
def test_a_damaged_file_is_ignored_and_replaced(
    tmp_path: Path, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    make_adapter(tmp_path).record_check("old")
    (path,) = tmp_path.glob("models/*.json")
    path.write_bytes(data)
    adapter = make_adapter(tmp_path)
    assert (adapter.adaptation, adapter.checked) == (Adaptation(), "")
    assert "damaged or foreign" in caplog.text
    adapter.record_check("new")
    assert make_adapter(tmp_path).checked == "new"
