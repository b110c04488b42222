"""Build the calls that a `ModelCaller` makes: a question to a chat model, texts to embed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

from raypipe.ledger.call_usage import CallUsage
from raypipe.models.answers import strip_thinking
from raypipe.models.calling.cut_prompts import log_cut_prompt
from raypipe.models.calling.token_estimate import TokenEstimate
from raypipe.models.context import Billing, billing_of, server_key
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
    *,
    sent: Question | None = None,
) -> ModelCall[Answer]:
    """Return the call that asks a chat model a question.

    The key leaves out the maximum tokens: a finished answer is the same with more of them. It has
    the question and not `sent`, so that an answer is found however a server wants to be asked.

    Args:
        model: The chat model.
        question: The question.
        is_cacheable: Whether a cached answer may be used: not refused, not truncated, checked.
        estimate: The caller's estimate, which learns from the answer; None for a new one.
        sent: The question as the model accepts it, see `raypipe.models.adaptation`; None for the
            question itself.
    """
    estimate, sent = estimate or TokenEstimate(), sent or question
    schema = json.dumps(sent.schema) if sent.schema else ""
    size = _size_in_bytes((sent.system, sent.prompt, schema))
    chars = len(sent.system) + len(sent.prompt)

    def send() -> Answer:
        answer = strip_thinking(model.call(sent))  # of a client that is no part of raypipe
        usage = _read_usage(answer.usage)
        if estimate.cut_prompts.is_cut(chars, usage.input_tokens):
            log_cut_prompt(model.name, usage.input_tokens)
            answer = replace(answer, text="", stop_reason="context")
        else:
            estimate.learn(size, usage.input_tokens)
        answer_size = _size_in_bytes([answer.text])
        return replace(answer, usage=_fill_usage(usage, estimate, size, answer_size))

    key, old_key = (
        {"operation": CHAT, "model": model.base_model, "body": model.body(asked)}
        for asked in (replace(question, max_tokens=0), question)
    )
    key |= server_key(model)
    return ModelCall(
        key=key,
        request=CallRequest(estimate.tokens(size), sent.max_tokens),
        send=send,
        usage_of=lambda answer: answer.usage,
        is_cacheable=is_cacheable,
        to_json=_answer_to_json,
        from_json=_answer_from_json,
        billing=billing_of(model),
        old_keys=[old_key],  # of raypipe 0.1, with the maximum tokens and without the server
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


def call_usage(call: ModelCall[Any], usage: TokenUsage) -> CallUsage:
    """Return the tokens of a call as they are recorded, with the model and tier on the bill."""
    model = str(call.key.get("model", ""))
    billing = call.billing or Billing(model)
    return CallUsage(
        str(call.key.get("operation", "")),
        model,
        usage.input_tokens,
        usage.output_tokens,
        profile=billing.model if billing.model != model else "",
        tier=usage.tier or billing.tier,
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
    thinking = {"thinking_tokens": answer.thinking_tokens} if answer.thinking_tokens else {}
    usage = _usage_to_json(answer.usage)
    return {"text": answer.text, "stop": answer.stop_reason, **usage, **thinking}


def _answer_from_json(cached: Mapping[str, Any]) -> Answer:
    if not isinstance(cached["text"], str) or cached["stop"] not in get_args(StopReason):
        raise ValueError("not an answer")
    thinking_tokens = read_count(cached.get("thinking_tokens", 0))
    answer = Answer(cached["text"], cached["stop"], _usage_from_json(cached), thinking_tokens)
    return strip_thinking(answer)  # raypipe 0.1 kept thinking in the text


def _vectors_from_json(cached: Mapping[str, Any]) -> Vectors:
    vectors = [[float(number) for number in vector] for vector in cached["vectors"]]
    return Vectors(vectors, _usage_from_json(cached))
