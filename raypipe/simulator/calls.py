"""Describe a call, its answer and its error independently of the provider's API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

StopReason = Literal["end_turn", "max_tokens", "content_filtered", "tool_use"]


@dataclass(frozen=True)
class SimulatedCall:
    """A call to a model.

    Args:
        operation: `converse`, `invoke`, `count-tokens`, `chat` or `embeddings`.
        model: Model id without region prefix and ARN.
        requested_model: Model id as the client sent it.
        prompt: The user's text.
        input_tokens: Tokens of everything that was sent.
        max_tokens: Maximum tokens of the answer; 0 for embeddings.
        schema: JSON schema that the answer must fit; None for plain text.
        tool: Name of the tool that the answer calls; '' for none.
        texts: Texts to embed; empty for chat calls.
        detail: What the provider's API needs to build its response.
    """

    operation: str
    model: str
    requested_model: str
    prompt: str
    input_tokens: int
    max_tokens: int = 0
    schema: Any = None
    tool: str = ""
    texts: tuple[str, ...] = ()
    detail: Any = None

    @property
    def tier(self) -> str:
        """Return the service tier that a chat call requests; '' for none."""
        return self.detail if isinstance(self.detail, str) else ""


@dataclass(frozen=True)
class SimulatedAnswer:
    """A model's answer.

    Args:
        text: The text; JSON if the call has a schema, '' for embeddings.
        stop_reason: Why the text ends.
        input_tokens: Tokens of the call.
        output_tokens: Tokens of the text.
        latency_s: Simulated latency, in seconds.
        number: Running number, for ids.
    """

    text: str
    stop_reason: StopReason
    input_tokens: int
    output_tokens: int
    latency_s: float = 0.0
    number: int = 0


class CallRefused(Exception):
    """A call is answered with an error.

    Args:
        kind: Key of the error table that each provider's API has.
        message: Message of the error; '' for the provider's usual text.
        retry_after_s: Seconds until the call may pass; None if unknown.
    """

    def __init__(self, kind: str, message: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message or kind)
        self.kind = kind
        self.message = message
        self.retry_after_s = retry_after_s
