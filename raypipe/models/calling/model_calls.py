"""Build the calls that a `ModelCaller` makes: a question to a chat model, texts to embed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

from raypipe.models.calling.token_estimate import TokenEstimate
from raypipe.models.context import billing_of, server_key
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
from raypipe.models.token_counts import read_count
from raypipe.quota.protocol import CallRequest

CHAT, EMBED = "chat", "embed"
"""Operations, as named in the cache keys."""


def chat_call(
    model: ChatModel,
    question: Question,
    is_cacheable: Callable[[Answer], bool],
    estimate: TokenEstimate | None = None,
) -> ModelCall[Answer]:
    """Return the call that asks a chat model a question.

    Args:
        model: The chat model.
        question: The question.
        is_cacheable: Whether a cached answer may be used: not refused, not truncated, checked.
        estimate: The caller's estimate, which learns from the answer; None for a new one.
    """
    estimate = estimate or TokenEstimate()
    schema = json.dumps(question.schema) if question.schema else ""
    size = _size_in_bytes((question.system, question.prompt, schema))

    def send() -> Answer:
        answer = model.call(question)
        usage = _read_usage(answer.usage)
        estimate.learn(size, usage.input_tokens)
        answer_size = _size_in_bytes([answer.text])
        return replace(answer, usage=_fill_usage(usage, estimate, size, answer_size))

    old_key = {"operation": CHAT, "model": model.base_model, "body": model.body(question)}
    key = {**old_key, **server_key(model)}
    return ModelCall(
        key=key,
        request=CallRequest(estimate.tokens(size), question.max_tokens),
        send=send,
        usage_of=lambda answer: answer.usage,
        is_cacheable=is_cacheable,
        to_json=_answer_to_json,
        from_json=_answer_from_json,
        billing=billing_of(model),
        old_keys=[old_key] if old_key != key else [],  # of a raypipe that named no server
    )


def embedding_call(
    model: EmbeddingModel,
    texts: Sequence[str],
    input_type: InputType,
    estimate: TokenEstimate | None = None,
) -> ModelCall[Vectors]:
    """Return the call that embeds up to `model.max_texts` texts.

    A cached answer is used if it has one vector of the model's dimension for each text, and every
    vector has a finite length above 0.

    Args:
        model: The embedding model.
        texts: The texts, not longer than `model.max_chars`.
        input_type: Whether the texts are indexed or searched with.
        estimate: The caller's estimate, which learns from the answer; None for a new one.
    """
    estimate = estimate or TokenEstimate()
    sent = list(texts)
    size = _size_in_bytes(sent)
    count, dimension = len(sent), model.dimension

    def send() -> Vectors:
        answer = model.call(sent, input_type)
        usage = _read_usage(answer.usage)
        estimate.learn(size, usage.input_tokens)
        return replace(answer, usage=_fill_usage(usage, estimate, size, 0))

    old_key = {"operation": EMBED, "model": model.base_model, "body": model.body(sent, input_type)}
    key = {**old_key, **server_key(model)}
    return ModelCall(
        key=key,
        request=CallRequest(estimate.tokens(size), 0),
        send=send,
        usage_of=lambda answer: answer.usage,
        is_cacheable=lambda answer: _has_shape(answer, count, dimension),
        to_json=lambda answer: {"vectors": answer.vectors, **_usage_to_json(answer.usage)},
        from_json=_vectors_from_json,
        billing=billing_of(model),
        old_keys=[old_key] if old_key != key else [],
    )


def _size_in_bytes(texts: Sequence[str]) -> int:
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)


def _has_shape(answer: Vectors, count: int, dimension: int) -> bool:
    return len(answer.vectors) == count and all(
        len(vector) == dimension and 0 < sum(number * number for number in vector) < math.inf
        for vector in answer.vectors
    )


def _read_usage(usage: TokenUsage) -> TokenUsage:
    """Return the usage with 0 for counts that are none; a client of a user may send anything."""
    return replace(
        usage,
        input_tokens=read_count(usage.input_tokens),
        output_tokens=read_count(usage.output_tokens),
    )


def _fill_usage(
    usage: TokenUsage, estimate: TokenEstimate, size: int, answer_size: int
) -> TokenUsage:
    """Return the usage with estimates for the counts that the server did not send.

    Args:
        usage: Tokens as counted by the server, 0 for a missing count.
        estimate: Estimates tokens.
        size: UTF-8 bytes of the request.
        answer_size: UTF-8 bytes of the answer.
    """
    input_tokens = usage.input_tokens or estimate.tokens(size)
    output_tokens = usage.output_tokens or (estimate.tokens(answer_size) if answer_size else 0)
    return replace(usage, input_tokens=input_tokens, output_tokens=output_tokens)


def _usage_to_json(usage: TokenUsage) -> dict[str, Any]:
    tier = {"tier": usage.tier} if usage.tier else {}
    return {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens, **tier}


def _usage_from_json(cached: Mapping[str, Any]) -> TokenUsage:
    tokens = int(cached["input_tokens"]), int(cached["output_tokens"])
    return TokenUsage(*tokens, tier=str(cached.get("tier", "")))


def _answer_to_json(answer: Answer) -> Mapping[str, Any]:
    return {"text": answer.text, "stop": answer.stop_reason, **_usage_to_json(answer.usage)}


def _answer_from_json(cached: Mapping[str, Any]) -> Answer:
    if not isinstance(cached["text"], str) or cached["stop"] not in get_args(StopReason):
        raise ValueError("not an answer")
    return Answer(cached["text"], cached["stop"], _usage_from_json(cached))


def _vectors_from_json(cached: Mapping[str, Any]) -> Vectors:
    vectors = [[float(number) for number in vector] for vector in cached["vectors"]]
    return Vectors(vectors, _usage_from_json(cached))
