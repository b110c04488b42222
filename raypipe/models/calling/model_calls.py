"""What the caller is given to make: a question to a chat model, texts to an embedding model."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

from raypipe.models.protocol import (
    Answer,
    ChatModel,
    EmbeddingModel,
    InputType,
    ModelCall,
    Question,
    StopReason,
    TokenUsage,
    Vectors,
)
from raypipe.quota.protocol import CallRequest

CHAT, EMBED = "chat", "embed"
"""Operations, as the keys of the cache name them."""

_OVERHEAD_TOKENS = 16  # roles and frames around the texts
_TELLING_BYTES = 200  # of shorter texts the frame is the larger part
_RANGE = (0.5, 8.0)  # bytes a token that are believed
_DOWN, _UP = 0.5, 0.1


class TokenEstimate:
    """Bytes of UTF-8 a token, learned from what the server counts; safe for many threads.

    English has 3 to 4 (2.9 with the newest tokenizers), so 3 is not too low at first. It is
    learned quickly that a text has more tokens than estimated, slowly that it has fewer.

    Args:
        bytes_per_token: Where it starts.
    """

    def __init__(self, bytes_per_token: float = 3.0) -> None:
        self.bytes_per_token = bytes_per_token
        self._lock = threading.Lock()

    def tokens(self, size: int) -> int:
        """Return the estimated tokens of a request with `size` bytes of text."""
        return math.ceil(size / self.bytes_per_token) + _OVERHEAD_TOKENS

    def learn(self, size: int, tokens: int) -> None:
        """Take in that `size` bytes of text were `tokens` tokens to the server."""
        if size < _TELLING_BYTES or tokens <= 0:
            return
        seen = min(max(size / tokens, _RANGE[0]), _RANGE[1])
        with self._lock:
            weight = _DOWN if seen < self.bytes_per_token else _UP
            self.bytes_per_token += weight * (seen - self.bytes_per_token)


def chat_call(
    model: ChatModel,
    question: Question,
    keep: Callable[[Answer], bool],
    estimate: TokenEstimate | None = None,
) -> ModelCall[Answer]:
    """Return the call that asks a chat model a question.

    Args:
        model: Who is asked.
        question: What.
        keep: Whether an answer may be kept for good: not refused, not cut, checked.
        estimate: The caller's, which learns from the answer; None = one of its own.
    """
    estimate = estimate or TokenEstimate()
    schema = json.dumps(question.schema) if question.schema else ""
    size = _size((question.system, question.prompt, schema))

    def send() -> Answer:
        answer = model.call(question)
        estimate.learn(size, answer.usage.input_tokens)
        return answer

    return ModelCall(
        key={"operation": CHAT, "model": model.base_model, "body": model.body(question)},
        request=CallRequest(estimate.tokens(size), question.max_tokens),
        send=send,
        usage_of=lambda answer: answer.usage,
        is_cacheable=keep,
        to_json=_answer_json,
        from_json=_answer,
    )


def embedding_call(
    model: EmbeddingModel,
    texts: Sequence[str],
    input_type: InputType,
    estimate: TokenEstimate | None = None,
) -> ModelCall[Vectors]:
    """Return the call that embeds up to `model.max_texts` texts.

    Its answer is kept if it has one finite vector of the model's dimension for each text.
    """
    estimate = estimate or TokenEstimate()
    asked = list(texts)
    size = _size(asked)
    shape = len(asked), model.dimension

    def send() -> Vectors:
        answer = model.call(asked, input_type)
        estimate.learn(size, answer.usage.input_tokens)
        return answer

    return ModelCall(
        key={"operation": EMBED, "model": model.base_model, "body": model.body(asked, input_type)},
        request=CallRequest(estimate.tokens(size), 0),
        send=send,
        usage_of=lambda answer: answer.usage,
        is_cacheable=lambda answer: _whole(answer, *shape),
        to_json=lambda answer: {"vectors": answer.vectors, **_usage_json(answer.usage)},
        from_json=_vectors,
    )


def _size(texts: Sequence[str]) -> int:
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)


def _whole(answer: Vectors, count: int, dimension: int) -> bool:
    return len(answer.vectors) == count and all(
        len(vector) == dimension and all(map(math.isfinite, vector)) for vector in answer.vectors
    )


def _usage_json(usage: TokenUsage) -> dict[str, int]:
    return {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}


def _usage(kept: Mapping[str, Any]) -> TokenUsage:
    return TokenUsage(int(kept["input_tokens"]), int(kept["output_tokens"]))


def _answer_json(answer: Answer) -> Mapping[str, Any]:
    return {"text": answer.text, "stop": answer.stop_reason, **_usage_json(answer.usage)}


def _answer(kept: Mapping[str, Any]) -> Answer:
    if not isinstance(kept["text"], str) or kept["stop"] not in get_args(StopReason):
        raise ValueError("not an answer")
    return Answer(kept["text"], kept["stop"], _usage(kept))


def _vectors(kept: Mapping[str, Any]) -> Vectors:
    return Vectors([[float(one) for one in vector] for vector in kept["vectors"]], _usage(kept))
