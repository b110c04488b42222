"""Simulate OpenAI's chat completions, embeddings and models, as its client uses them."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from raypipe.simulator.calls import CallRefused, SimulatedAnswer, SimulatedCall
from raypipe.simulator.embeddings import embed
from raypipe.simulator.http_connection import HttpRequest, HttpResponse
from raypipe.simulator.options import ModelOptions
from raypipe.simulator.request_body import (
    Body,
    as_mapping,
    content_texts,
    last_user_text,
    parse_body,
    whole_number,
)
from raypipe.simulator.tokens import count_tokens

CALL_PATHS = ("/v1/chat/completions", "/v1/embeddings")
MODELS_PATH = "/v1/models"
_FINISH_REASONS = {
    "end_turn": "stop",
    "max_tokens": "length",
    "content_filtered": "content_filter",
    "tool_use": "tool_calls",
}
_DEFAULT_DIMENSION = 1536
_MAX_TEXTS = 2_048
_WAIT = "please wait before trying again."
_LIMIT = "rate_limit_exceeded"
_ERRORS = {
    "throttle": (429, "tokens", _LIMIT, f"Too many tokens, {_WAIT}"),
    "throttle_day": (429, "tokens", _LIMIT, f"Too many tokens per day, {_WAIT}"),
    "throttle_requests": (429, "requests", _LIMIT, f"Too many requests, {_WAIT}"),
    "timeout": (408, "timeout", None, "Request timed out."),
    # OpenAI does not use this status; its client treats it like any other 4xx.
    "model_error": (424, "server_error", None, "The model had an unexpected error."),
    "internal": (500, "server_error", None, "The server had an error while processing."),
    "unavailable": (503, "server_error", None, "The engine is currently overloaded."),
    "too_long": (
        400,
        "invalid_request_error",
        "context_length_exceeded",
        "This model's maximum context length is exceeded by your messages.",
    ),
    "invalid": (400, "invalid_request_error", None, "The request is not valid."),
    "denied": (403, "invalid_request_error", "model_not_allowed", "No access to this model."),
    "no_credentials": (401, "invalid_request_error", "invalid_api_key", "No API key was given."),
    "unknown_model": (404, "invalid_request_error", "model_not_found", "No such model."),
}


@dataclass(frozen=True)
class EmbeddingFormat:
    """The format of the vectors in a response.

    Args:
        dimension: Length of the vectors.
        is_base64: Whether vectors are base64 of little-endian float32; the client's default.
    """

    dimension: int
    is_base64: bool


class OpenAIApi:
    """An OpenAI-compatible server; a `ModelApi`.

    Args:
        model: Properties of the models; may be replaced between calls.
    """

    def __init__(self, model: ModelOptions) -> None:
        self.model = model

    def list_models(self, request: HttpRequest) -> HttpResponse:
        """Return the response to GET /v1/models."""
        if not request.headers.get("authorization"):
            return self.build_error(CallRefused("no_credentials"))
        names = self.model.known or ["simulated"]
        data = [
            {"id": name, "object": "model", "created": 0, "owned_by": "raypipe"} for name in names
        ]
        return HttpResponse(200, orjson.dumps({"object": "list", "data": data}))

    def parse_call(self, request: HttpRequest) -> SimulatedCall:
        """Return the call in a request to /v1/chat/completions or /v1/embeddings.

        Raises:
            CallRefused: Credentials are missing, or the body is invalid.
        """
        if not request.headers.get("authorization"):
            raise CallRefused("no_credentials")
        body = parse_body(request)
        if not isinstance(body.get("model"), str) or not body["model"]:
            raise CallRefused("invalid", "you must provide a model parameter")
        if "embeddings" in request.target:
            return self._parse_embeddings(body)
        return self._parse_chat(body)

    def _parse_chat(self, body: Body) -> SimulatedCall:
        if not isinstance(body.get("messages"), list) or not body["messages"]:
            raise CallRefused("invalid", "messages must contain at least one message")
        if body.get("stream") or body.get("n", 1) != 1:
            raise CallRefused("invalid", "stream and n are not simulated")
        limit = body.get("max_completion_tokens") or body.get("max_tokens")
        texts = [
            text
            for message in body["messages"]
            for text in content_texts(as_mapping(message).get("content"))
        ]
        return SimulatedCall(
            "chat",
            body["model"],
            body["model"],
            last_user_text(body["messages"]),
            sum(self._count(text) for text in texts),
            whole_number("max_tokens", self.model.max_output_tokens if limit is None else limit),
            schema=_requested_schema(body),
            detail=self._parse_tier(body),
        )

    def _parse_tier(self, body: Body) -> str:
        tier = str(body.get("service_tier") or "")
        if tier not in ("", "auto", *self.model.tiers):
            raise CallRefused("invalid", f"Invalid service_tier argument: {tier}")
        return "" if tier == "auto" else tier

    def _parse_embeddings(self, body: Body) -> SimulatedCall:
        value = body.get("input")
        texts: list[Any] = value if isinstance(value, list) else [value]
        are_texts = all(isinstance(text, str) and text for text in texts)
        if not 1 <= len(texts) <= _MAX_TEXTS or not are_texts:
            raise CallRefused("invalid", f"input must be a text or 1 to {_MAX_TEXTS} texts")
        dimension = whole_number("dimensions", body.get("dimensions", _DEFAULT_DIMENSION))
        return SimulatedCall(
            "embeddings",
            body["model"],
            body["model"],
            "\n".join(texts),
            sum(self._count(text) for text in texts),
            texts=tuple(texts),
            detail=EmbeddingFormat(dimension, body.get("encoding_format") == "base64"),
        )

    def _count(self, text: str) -> int:
        return count_tokens(text, self.model.bytes_per_token)

    def build_response(self, call: SimulatedCall, answer: SimulatedAnswer) -> HttpResponse:
        """Return the response with status 200."""
        body = _build_vectors(call, answer) if call.texts else _build_completion(call, answer)
        return HttpResponse(200, orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY))

    def build_error(self, error: CallRefused) -> HttpResponse:
        """Return an error response; with status 429 it has a Retry-After header."""
        status, kind, code, usual_message = _ERRORS[error.kind]
        message = error.message or usual_message
        body = {"message": message, "type": kind, "param": None, "code": code}
        headers = {}
        if status == 429:
            wait_s = 1.0 if error.retry_after_s is None else error.retry_after_s
            headers = {"Retry-After": f"{max(1, round(wait_s + 0.5))}"}
            headers["retry-after-ms"] = f"{max(1, round(wait_s * 1000))}"
        return HttpResponse(status, orjson.dumps({"error": body}), headers)


def _requested_schema(body: Body) -> Any:
    response_format = as_mapping(body.get("response_format"))
    if response_format.get("type") == "json_schema":
        return as_mapping(response_format.get("json_schema")).get("schema", {})
    if response_format.get("type") == "json_object":
        return {"type": "object", "properties": {"summary": {"type": "string"}}}
    return None


def _build_usage(answer: SimulatedAnswer) -> Body:
    return {
        "prompt_tokens": answer.input_tokens,
        "total_tokens": answer.input_tokens + answer.output_tokens,
    }


def _build_completion(call: SimulatedCall, answer: SimulatedAnswer) -> Body:
    message = {"role": "assistant", "content": answer.text, "refusal": None}
    finish_reason = _FINISH_REASONS[answer.stop_reason]
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    return {
        "id": f"chatcmpl-{answer.number}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": call.requested_model,
        "choices": [{**choice, "logprobs": None}],
        "usage": {**_build_usage(answer), "completion_tokens": answer.output_tokens},
        "service_tier": call.tier or "default",
    }


def _build_vectors(call: SimulatedCall, answer: SimulatedAnswer) -> Body:
    return {
        "object": "list",
        "model": call.requested_model,
        "data": list(_embed_texts(call.texts, call.detail)),
        "usage": _build_usage(answer),
    }


def _embed_texts(texts: tuple[str, ...], vector_format: EmbeddingFormat) -> Iterator[Body]:
    for index, text in enumerate(texts):
        vector: Any = embed(text, vector_format.dimension)
        if vector_format.is_base64:
            vector = base64.b64encode(vector.astype("<f4").tobytes()).decode()
        yield {"object": "embedding", "index": index, "embedding": vector}
