"""A call to a model, its answer and its refusal, whichever protocol it came by."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any, Literal

Stop = Literal["end_turn", "max_tokens", "content_filtered", "tool_use"]
_REGION = re.compile(r"^(us-gov|us|eu|apac|jp|au|ca|sa|global)\.")


@dataclass(frozen=True)
class Call:
    """What was asked of a model.

    Args:
        operation: `converse`, `invoke`, `count-tokens`, `chat` or `embeddings`.
        model: The model without region prefix or ARN.
        asked_model: The model as it was named.
        prompt: The user's text.
        input_tokens: Tokens of everything that was sent.
        max_tokens: Most tokens of the answer; 0 where vectors are wanted.
        schema: JSON schema that the answer must fit; None = plain text.
        tool: Name of the tool that the answer is for; '' = none.
        texts: Texts to embed.
        dimension: Length of their vectors.
        extra: What the protocol needs to shape its answer.
    """

    operation: str
    model: str
    asked_model: str
    prompt: str
    input_tokens: int
    max_tokens: int = 0
    schema: Any = None
    tool: str = ""
    texts: tuple[str, ...] = ()
    dimension: int = 0
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """What a model said.

    Args:
        text: The text; JSON where a schema was given.
        stop: Why it ended.
        input_tokens: As counted for the call.
        output_tokens: Tokens of the text.
        latency_s: Seconds that it took.
        number: A running number for ids.
    """

    text: str
    stop: Stop
    input_tokens: int
    output_tokens: int
    latency_s: float = 0.0
    number: int = 0


class Refused(Exception):
    """A call that gets an error.

    Args:
        kind: A key of each protocol's table of errors.
        message: What a person reads; '' = the usual text of this kind.
        retry_after_s: When it may pass; None = not known.
    """

    def __init__(self, kind: str, message: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(message or kind)
        self.kind = kind
        self.message = message
        self.retry_after_s = retry_after_s


def count_tokens(text: str, bytes_per_token: float = 4.0) -> int:
    """Return the tokens of a text: its UTF-8 bytes over `bytes_per_token`, rounded up.

    One rule for usage, quota and CountTokens, so that a client's numbers can be checked exactly.
    """
    return math.ceil(len(text.encode("utf-8", "surrogatepass")) / bytes_per_token)


def cut_to_tokens(text: str, tokens: int, bytes_per_token: float = 4.0) -> str:
    """Return the longest beginning of a text that has at most this many tokens."""
    kept = text.encode("utf-8", "surrogatepass")[: int(tokens * bytes_per_token)]
    return kept.decode("utf-8", "ignore")


def base_model(model_id: str) -> str:
    """Return a model id without an ARN around it and without a region prefix.

    `us.amazon.nova-lite-v1:0` and `arn:aws:bedrock:...:inference-profile/us.amazon.nova-lite-v1:0`
    are the same model, on the same quota.
    """
    return _REGION.sub("", model_id.rpartition("/")[2] if "arn:" in model_id else model_id)
