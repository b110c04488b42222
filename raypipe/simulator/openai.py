"""OpenAI's chat completions, embeddings and models, as its client speaks them."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from typing import Any

import orjson

from raypipe.simulator.calls import Answer, Call, Refused, count_tokens
from raypipe.simulator.embeddings import embed
from raypipe.simulator.http import Request, Response
from raypipe.simulator.options import ModelOptions
from raypipe.simulator.wire import Body, body_of, mapping, texts_of, users_text, whole

PATHS = ("/v1/chat/completions", "/v1/embeddings", "/v1/models")
_STOPS = {
    "end_turn": "stop",
    "max_tokens": "length",
    "content_filtered": "content_filter",
    "tool_use": "tool_calls",
}
_DIMENSIONS = 1536
_MOST_TEXTS = 2_048
_WAIT = "please wait before trying again."
_LIMIT = "rate_limit_exceeded"
_ERRORS = {
    "throttle": (429, "tokens", _LIMIT, f"Too many tokens, {_WAIT}"),
    "throttle_day": (429, "tokens", _LIMIT, f"Too many tokens per day, {_WAIT}"),
    "throttle_requests": (429, "requests", _LIMIT, f"Too many requests, {_WAIT}"),
    "timeout": (408, "timeout", None, "Request timed out."),
    # Not an OpenAI status; its client treats it as any other 4xx.
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


class OpenAI:
    """An OpenAI-compatible server.

    Args:
        model: What the models are like; read anew at each call.
    """

    def __init__(self, model: ModelOptions) -> None:
        self.model = model

    def models(self, request: Request) -> Response:
        """Shape the answer to GET /v1/models."""
        if not request.headers.get("authorization"):
            return self.error(Refused("no_credentials"))
        known = self.model.known or ["simulated"]
        data = [
            {"id": name, "object": "model", "created": 0, "owned_by": "raypipe"} for name in known
        ]
        return Response(200, orjson.dumps({"object": "list", "data": data}))

    def read(self, request: Request) -> Call:
        """Return the call behind /v1/chat/completions or /v1/embeddings."""
        if not request.headers.get("authorization"):
            raise Refused("no_credentials")
        body = body_of(request)
        if not isinstance(body.get("model"), str) or not body["model"]:
            raise Refused("invalid", "you must provide a model parameter")
        if "embeddings" in request.target:
            return self._embeddings(body)
        return self._chat(body)

    def _chat(self, body: Body) -> Call:
        if not isinstance(body.get("messages"), list) or not body["messages"]:
            raise Refused("invalid", "messages must hold at least one message")
        if body.get("stream") or body.get("n", 1) != 1:
            raise Refused("invalid", "stream and n are not simulated")
        most = body.get("max_completion_tokens") or body.get("max_tokens")
        texts = [text for one in body["messages"] for text in texts_of(mapping(one).get("content"))]
        return Call(
            "chat",
            body["model"],
            body["model"],
            users_text(body["messages"]),
            sum(self._tokens(text) for text in texts),
            whole("max_tokens", self.model.max_output_tokens if most is None else most),
            schema=_schema(body),
        )

    def _embeddings(self, body: Body) -> Call:
        given = body.get("input")
        texts: list[Any] = given if isinstance(given, list) else [given]
        right = 1 <= len(texts) <= _MOST_TEXTS
        if not right or not all(isinstance(one, str) and one for one in texts):
            raise Refused("invalid", f"input must be a text or 1 to {_MOST_TEXTS} texts")
        return Call(
            "embeddings",
            body["model"],
            body["model"],
            "\n".join(texts),
            sum(self._tokens(text) for text in texts),
            texts=tuple(texts),
            dimension=whole("dimensions", body.get("dimensions", _DIMENSIONS)),
            extra={"base64": body.get("encoding_format") == "base64"},
        )

    def _tokens(self, text: str) -> int:
        return count_tokens(text, self.model.bytes_per_token)

    def ok(self, call: Call, answer: Answer) -> Response:
        """Shape a 200."""
        said = _vectors(call, answer) if call.texts else _completion(call, answer)
        return Response(200, orjson.dumps(said, option=orjson.OPT_SERIALIZE_NUMPY))

    def error(self, refused: Refused) -> Response:
        """Shape an error; a throttle says when to come again."""
        status, kind, code, usual = _ERRORS[refused.kind]
        said = {"message": refused.message or usual, "type": kind, "param": None, "code": code}
        headers = {}
        if status == 429:
            wait = 1.0 if refused.retry_after_s is None else refused.retry_after_s
            headers = {"Retry-After": f"{max(1, round(wait + 0.5))}"}
            headers["retry-after-ms"] = f"{max(1, round(wait * 1000))}"
        return Response(status, orjson.dumps({"error": said}), headers)


def _schema(body: Body) -> Any:
    wanted = mapping(body.get("response_format"))
    if wanted.get("type") == "json_schema":
        return mapping(wanted.get("json_schema")).get("schema", {})
    if wanted.get("type") == "json_object":
        return {"type": "object", "properties": {"summary": {"type": "string"}}}
    return None


def _usage(answer: Answer) -> Body:
    return {
        "prompt_tokens": answer.input_tokens,
        "total_tokens": answer.input_tokens + answer.output_tokens,
    }


def _completion(call: Call, answer: Answer) -> Body:
    message = {"role": "assistant", "content": answer.text, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": _STOPS[answer.stop]}
    return {
        "id": f"chatcmpl-{answer.number}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": call.asked_model,
        "choices": [{**choice, "logprobs": None}],
        "usage": {**_usage(answer), "completion_tokens": answer.output_tokens},
    }


def _vectors(call: Call, answer: Answer) -> Body:
    return {
        "object": "list",
        "model": call.asked_model,
        "data": list(_items(call)),
        "usage": _usage(answer),
    }


def _items(call: Call) -> Iterator[Body]:
    for index, text in enumerate(call.texts):
        vector: Any = embed(text, call.dimension)
        if call.extra["base64"]:  # what the openai client asks for by itself
            vector = base64.b64encode(vector.astype("<f4").tobytes()).decode()
        yield {"object": "embedding", "index": index, "embedding": vector}
