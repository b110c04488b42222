"""Chat models of any OpenAI-compatible server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from raypipe.models.openai_client import OpenAIServer
from raypipe.models.preflight import PROBE
from raypipe.models.protocol import Answer, ModelError, Question, StopReason, TokenUsage

_STOPS: Mapping[str, StopReason] = {
    "stop": "end",
    "length": "max_tokens",
    "content_filter": "filtered",
}
_LIMITS = ("max_tokens", "max_completion_tokens")


@dataclass(frozen=True)
class OpenAIChat(OpenAIServer):
    """A chat model of OpenAI, vLLM, Ollama or another server that speaks as OpenAI does.

    Args:
        structured: Whether the server answers by a JSON schema; where not, no schema is sent, and
            the prompt alone asks for JSON.
        send_temperature: Whether the temperature is sent; OpenAI's reasoning models refuse it.
        max_tokens_field: What the most tokens are called: max_tokens, or max_completion_tokens
            for OpenAI's reasoning models.
        extra: More of the request body, e.g. vLLM's `chat_template_kwargs`.

    Raises:
        ValueError: A setting is out of its range.
    """

    structured: bool = True
    send_temperature: bool = True
    max_tokens_field: str = "max_tokens"
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the settings."""
        super().__post_init__()
        if self.max_tokens_field not in _LIMITS:
            raise ValueError(
                f"max_tokens_field={self.max_tokens_field}: choose {' or '.join(_LIMITS)}"
            )

    def identity(self) -> Mapping[str, Any]:
        """Return what changes its answers."""
        said: dict[str, Any] = {"model": self.base_model, "structured": self.structured}
        if not self.send_temperature:
            said["temperature"] = "the model's own"
        return {**said, "extra": dict(self.extra)} if self.extra else said

    def check(self) -> None:
        """Ask for a few tokens.

        Raises:
            SetupError: No call could succeed: the package, the server, the key, the model.
        """
        self._check(lambda: self.call(PROBE))

    def body(self, question: Question) -> Mapping[str, Any]:
        """Return the request body as plain JSON values, without the model."""
        messages = [{"role": "user", "content": question.prompt}]
        if question.system:
            messages.insert(0, {"role": "system", "content": question.system})
        said: dict[str, Any] = {"messages": messages, self.max_tokens_field: question.max_tokens}
        if self.send_temperature:
            said["temperature"] = question.temperature
        if question.schema is not None and self.structured:
            schema = {"name": question.schema_name, "schema": question.schema, "strict": True}
            said["response_format"] = {"type": "json_schema", "json_schema": schema}
        return {**said, **self.extra}

    def call(self, question: Question) -> Answer:
        """Make one HTTP request and return its answer; safe for many threads.

        Raises:
            ModelError: There was no answer, or none that can be used.
        """
        texts = (question.system, question.prompt)
        return _answer(self.post("chat.completions", self.body(question), texts))

    def count_tokens(self, question: Question) -> int | None:
        """Return None: these servers do not tell beforehand."""
        return None


def _answer(said: Mapping[str, Any]) -> Answer:
    try:
        [choice] = said["choices"]
        message, stop = choice["message"], choice["finish_reason"]
        usage = TokenUsage(said["usage"]["prompt_tokens"], said["usage"]["completion_tokens"])
    except (KeyError, TypeError, ValueError):
        raise ModelError.bad_response("the answer has not one choice with its usage") from None
    if message.get("refusal"):
        return Answer("", "filtered", usage)
    if stop not in _STOPS:
        raise ModelError.bad_response(
            f"the model stopped for a reason that makes no answer: {stop}"
        )
    return Answer(message.get("content") or "", _STOPS[stop], usage)
