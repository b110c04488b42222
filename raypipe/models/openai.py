"""Chat models of any OpenAI-compatible server."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from raypipe.models.openai_client import OpenAIServer
from raypipe.models.openai_errors import API_KEY_VARIABLE
from raypipe.models.openai_response import parse_completion
from raypipe.models.preflight import PROBE
from raypipe.models.protocol import Answer, ModelError, Question
from raypipe.models.service_tier import (
    check_tier,
    read_tier,
    refuse_other_tier,
    tier_way_out,
)

_MAX_TOKENS_FIELDS = ("max_tokens", "max_completion_tokens")


@dataclass(frozen=True)
class OpenAIChat(OpenAIServer):
    """A chat model of OpenAI, vLLM, Ollama or another server with OpenAI's API.

    Args:
        structured: Whether the server answers by a JSON schema. Without a schema, the prompt alone
            asks for JSON.
        send_temperature: Whether to send the temperature; OpenAI's reasoning models refuse it.
        max_tokens_field: Name of the field with the maximum tokens: max_tokens, or
            max_completion_tokens for OpenAI's reasoning models.
        service_tier: default, flex (half the price, slower) or priority; None for the server's
            default. A tier changes no answer, so it is not part of `identity` and `body`.
        extra: More fields of the request body, e.g. vLLM's `chat_template_kwargs`.

    Raises:
        ValueError: A setting is out of its range.
    """

    structured: bool = True
    send_temperature: bool = True
    max_tokens_field: str = "max_tokens"
    service_tier: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        if self.max_tokens_field not in _MAX_TOKENS_FIELDS:
            choices = " or ".join(_MAX_TOKENS_FIELDS)
            raise ValueError(f"max_tokens_field={self.max_tokens_field}: choose {choices}")
        check_tier(self.service_tier)

    @property
    def tier(self) -> str:
        """Return the service tier that its calls request."""
        return self.service_tier or read_tier(self.extra.get("service_tier")) or "default"

    def identity(self) -> Mapping[str, Any]:
        """Return the settings that change its answers."""
        identity: dict[str, Any] = {"model": self.base_model, "structured": self.structured}
        if not self.send_temperature:
            identity["temperature"] = "the model's own"
        return {**identity, "extra": dict(self.extra)} if self.extra else identity

    def check(self) -> None:
        """Make a call of a few tokens.

        Raises:
            SetupError: No call could succeed: wrong server, key or model.
        """
        self.check_with(lambda: refuse_other_tier(self.tier, self.call(PROBE).usage))

    def explain(self, error: ModelError) -> str:
        """Return one line: model, server, error, and the way out."""
        return super().explain(error) + tier_way_out(error, self.tier)

    def check_access(self) -> None:
        """List the models of the server, which is free.

        Raises:
            ModelError: The server is not there, rejects the key, or does not list its models.
        """
        self.get_models()

    def body(self, question: Question) -> Mapping[str, Any]:
        """Return the request body as plain JSON values, without the model."""
        messages = [{"role": "user", "content": question.prompt}]
        if question.system:
            messages.insert(0, {"role": "system", "content": question.system})
        body: dict[str, Any] = {"messages": messages, self.max_tokens_field: question.max_tokens}
        if self.send_temperature:
            body["temperature"] = question.temperature
        if question.schema is not None and self.structured:
            schema = {"name": question.schema_name, "schema": question.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return {**body, **self.extra}

    def call(self, question: Question) -> Answer:
        """Make one HTTP request and return the answer. Thread-safe.

        Raises:
            ModelError: There is no usable answer.
        """
        texts = (question.system, question.prompt)
        tier = {"service_tier": self.service_tier} if self.service_tier else {}
        response = self.post("chat/completions", {**self.body(question), **tier}, texts)
        return parse_completion(
            response,
            model=self.name,
            max_tokens=question.max_tokens,
            texts=texts,
            secrets=[os.environ.get(API_KEY_VARIABLE, "")],
        )

    def count_tokens(self, question: Question) -> int | None:
        """Return None: these servers do not count tokens in advance."""
        return None
