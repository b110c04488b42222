"""Chat models on Amazon Bedrock, by Converse."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from raypipe.models.bedrock_client import BedrockModel
from raypipe.models.preflight import PROBE
from raypipe.models.protocol import Answer, ModelError, Question, StopReason, TokenUsage

log = logging.getLogger(__name__)

TIERS = ("default", "flex", "priority", "reserved")
_STOPS: Mapping[str, StopReason] = {
    "end_turn": "end",
    "stop_sequence": "end",
    "max_tokens": "max_tokens",
    "content_filtered": "filtered",
    "guardrail_intervened": "filtered",
    "model_context_window_exceeded": "context",
}
_STRUCTURED = (
    "anthropic.claude-haiku-4-5",
    "anthropic.claude-sonnet-4-5",
    "anthropic.claude-opus-4-5",
    "anthropic.claude-opus-4-6",
    "anthropic.claude-sonnet-4-6",
    "openai.gpt-oss-",
    "qwen.qwen3-",
    "deepseek.v3",
)
"""Beginnings of the models that answer by a JSON schema: Bedrock's guide, "Get validated JSON
results from models", as far as it was read; the option `structured` overrules it."""


@dataclass(frozen=True)
class BedrockChat(BedrockModel):
    """A chat model on Bedrock.

    Args:
        structured: Whether the model answers by a JSON schema; None = as far as is known. Where
            not, no schema is sent, and the prompt alone asks for JSON.
        send_temperature: Whether the temperature is sent; some reasoning models refuse it.
        service_tier: default, flex (half the price, slower), priority or reserved; None = as
            Bedrock does. It changes no answer, so it is in no identity and in no `body`.
        extra: additionalModelRequestFields, as the model documents them.

    Raises:
        ValueError: A setting is out of its range.
    """

    structured: bool | None = None
    send_temperature: bool = True
    service_tier: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        if self.service_tier is not None and self.service_tier not in TIERS:
            raise ValueError(f"service_tier={self.service_tier}: choose one of {', '.join(TIERS)}")

    @property
    def takes_schema(self) -> bool:
        """Whether a question's schema is sent."""
        if self.structured is None:
            return self.base_model.startswith(_STRUCTURED)
        return self.structured

    def identity(self) -> Mapping[str, Any]:
        """Return what changes its answers."""
        said: dict[str, Any] = {"model": self.base_model, "structured": self.takes_schema}
        if not self.send_temperature:
            said["temperature"] = "the model's own"
        return {**said, "extra": dict(self.extra)} if self.extra else said

    def check(self) -> None:
        """Ask for a few tokens.

        Raises:
            SetupError: No call could succeed: credentials, region, access, model.
        """
        self._check(lambda: self.call(PROBE))

    def body(self, question: Question) -> Mapping[str, Any]:
        """Return the request body as plain JSON values, without model and service tier."""
        limits: dict[str, Any] = {"maxTokens": question.max_tokens}
        if self.send_temperature:
            limits["temperature"] = question.temperature
        said: dict[str, Any] = {**self._prompt(question), "inferenceConfig": limits}
        if question.schema is not None and self.takes_schema:
            # In the schema's own order: some models answer in it.
            schema = json.dumps(question.schema, ensure_ascii=False, separators=(",", ":"))
            structure = {"jsonSchema": {"name": question.schema_name, "schema": schema}}
            said["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": structure}}
        return said

    def _prompt(self, question: Question) -> dict[str, Any]:
        said: dict[str, Any] = {}
        if question.system:  # Bedrock refuses an empty one
            said["system"] = [{"text": question.system}]
        said["messages"] = [{"role": "user", "content": [{"text": question.prompt}]}]
        if self.extra:
            said["additionalModelRequestFields"] = dict(self.extra)
        return said

    def call(self, question: Question) -> Answer:
        """Make one HTTP request and return its answer; safe for many threads.

        Raises:
            ModelError: There was no answer, or none that can be used.
        """
        tier = {"serviceTier": {"type": self.service_tier}} if self.service_tier else {}
        said = self.send("converse", _texts(question), **self.body(question), **tier)
        return _answer(said)

    def count_tokens(self, question: Question) -> int | None:
        """Return the input tokens as Bedrock counts them, for nothing; None = it cannot say."""
        sent = {"converse": self._prompt(question)}
        try:
            said = self.send("count_tokens", _texts(question), input=sent)
        except ModelError as error:
            log.debug("%s does not count tokens: %s", self.name, error)
            return None
        tokens = said.get("inputTokens")
        return tokens if isinstance(tokens, int) else None


def _texts(question: Question) -> Sequence[str]:
    return (question.system, question.prompt)


def _answer(said: Mapping[str, Any]) -> Answer:
    try:
        usage = TokenUsage(said["usage"]["inputTokens"], said["usage"]["outputTokens"])
        stop, blocks = str(said["stopReason"]), said["output"]["message"]["content"]
    except (KeyError, TypeError):
        # A body that was cut short is no JSON, and boto3 leaves out what it cannot read.
        raise ModelError.bad_response("the answer is not whole") from None
    if stop not in _STOPS:
        raise ModelError.bad_response(
            f"the model stopped for a reason that makes no answer: {stop}"
        )
    text = "".join(str(block["text"]) for block in blocks if "text" in block)
    return Answer(text, _STOPS[stop], usage)
