"""Chat models on Amazon Bedrock, called with the Converse operation."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from raypipe.models.answers import build_answer
from raypipe.models.bedrock_client import BedrockModel
from raypipe.models.preflight import PROBE
from raypipe.models.protocol import Answer, ModelError, Question, TokenUsage
from raypipe.models.service_tier import (
    check_tier,
    read_tier,
    refuse_other_tier,
    tier_way_out,
)
from raypipe.models.token_counts import read_count, read_usage

log = logging.getLogger(__name__)

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
"""Prefixes of the models that answer by a JSON schema, from Bedrock's guide, "Get validated JSON
results from models". The list may be incomplete; the option `structured` overrides it."""


@dataclass(frozen=True)
class BedrockChat(BedrockModel):
    """A chat model on Bedrock.

    Args:
        structured: Whether the model answers by a JSON schema; None to look it up in a list of
            known models. Without a schema, the prompt alone asks for JSON.
        send_temperature: Whether to send the temperature; some reasoning models refuse it.
        service_tier: default, flex (half the price, slower), priority or reserved; None for
            Bedrock's default. A tier changes no answer, so it is not part of `identity` and `body`.
        extra: additionalModelRequestFields, as documented for the model.

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
        check_tier(self.service_tier)

    @property
    def tier(self) -> str:
        """Return the service tier that its calls request."""
        return self.service_tier or "default"

    @property
    def takes_schema(self) -> bool:
        """Return whether the schema of a question is sent."""
        if self.structured is None:
            return self.base_model.startswith(_STRUCTURED)
        return self.structured

    def identity(self) -> Mapping[str, Any]:
        """Return the settings that change its answers."""
        identity: dict[str, Any] = {"model": self.base_model, "structured": self.takes_schema}
        if not self.send_temperature:
            identity["temperature"] = "the model's own"
        return {**identity, "extra": dict(self.extra)} if self.extra else identity

    def check(self) -> None:
        """Make a call of a few tokens.

        Raises:
            SetupError: No call could succeed: wrong credentials, region, access or model.
        """
        self.check_with(lambda: refuse_other_tier(self.tier, self.call(PROBE).usage))

    def explain(self, error: ModelError) -> str:
        """Return one line: model, region or endpoint, error, and the way out."""
        return super().explain(error) + tier_way_out(error, self.tier)

    def check_access(self) -> None:
        """Count the tokens of a word, which is free.

        Raises:
            ModelError: Bedrock is not there, rejects the credentials, or does not count tokens.
        """
        message = {"role": "user", "content": [{"text": "Hello"}]}
        self.send("count_tokens", (), input={"converse": {"messages": [message]}})

    def body(self, question: Question) -> Mapping[str, Any]:
        """Return the request body as plain JSON values, without model and service tier."""
        limits: dict[str, Any] = {"maxTokens": question.max_tokens}
        if self.send_temperature:
            limits["temperature"] = question.temperature
        body: dict[str, Any] = {**self._prompt(question), "inferenceConfig": limits}
        if question.schema is not None and self.takes_schema:
            # Keeps the schema's order of fields: some models answer in that order.
            schema = json.dumps(question.schema, ensure_ascii=False, separators=(",", ":"))
            structure = {"jsonSchema": {"name": question.schema_name, "schema": schema}}
            body["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": structure}}
        return body

    def _prompt(self, question: Question) -> dict[str, Any]:
        prompt: dict[str, Any] = {}
        if question.system:  # Bedrock refuses an empty system prompt
            prompt["system"] = [{"text": question.system}]
        prompt["messages"] = [{"role": "user", "content": [{"text": question.prompt}]}]
        if self.extra:
            prompt["additionalModelRequestFields"] = dict(self.extra)
        return prompt

    def call(self, question: Question) -> Answer:
        """Make one HTTP request and return the answer. Thread-safe.

        Raises:
            ModelError: There is no usable answer.
        """
        tier = {"serviceTier": {"type": self.service_tier}} if self.service_tier else {}
        response = self.send("converse", _texts_of(question), **self.body(question), **tier)
        usage = read_usage(response.get("usage"), self.name, "inputTokens", "outputTokens")
        usage = replace(usage, tier=read_tier(response.get("serviceTier")))
        return _parse_answer(response, usage, self.name, question.max_tokens)

    def count_tokens(self, question: Question) -> int | None:
        """Return Bedrock's free count of the input tokens, or None if the model has no count."""
        request = {"converse": self._prompt(question)}
        try:
            response = self.send("count_tokens", _texts_of(question), input=request)
        except ModelError as error:
            log.debug("%s does not count tokens: %s", self.name, error)
            return None
        return read_count(response.get("inputTokens")) or None


def _texts_of(question: Question) -> Sequence[str]:
    return (question.system, question.prompt)


def _parse_answer(
    response: Mapping[str, Any], usage: TokenUsage, model: str, max_tokens: int
) -> Answer:
    try:
        reason = response["stopReason"]
        blocks = response["output"]["message"]["content"]
    except (KeyError, TypeError):
        # A truncated body is not valid JSON, and boto3 leaves out what it cannot parse.
        raise ModelError.bad_response("the answer is incomplete", usage) from None
    if not isinstance(blocks, list) or not all(isinstance(block, Mapping) for block in blocks):
        raise ModelError.bad_response("the answer has no list of content blocks", usage)
    texts = [block["text"] for block in blocks if block.get("text") is not None]
    if not all(isinstance(text, str) for text in texts):
        raise ModelError.bad_response("a content block of the answer has no text", usage)
    reasoning = (block.get("reasoningContent") for block in blocks)
    thinking = (
        part.get("reasoningText", {}).get("text", "") for part in reasoning if part is not None
    )
    return build_answer(
        "".join(texts),
        reason,
        usage,
        model=model,
        max_tokens=max_tokens,
        thinking="".join(text for text in thinking if isinstance(text, str)),
    )
