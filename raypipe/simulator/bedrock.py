"""Bedrock's Converse, InvokeModel (embeddings) and CountTokens, as boto3 1.44 speaks them."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import orjson

from raypipe.simulator import bedrock_embeddings as vectors
from raypipe.simulator.calls import Answer, Call, Refused, base_model, count_tokens
from raypipe.simulator.http import Request, Response
from raypipe.simulator.options import ModelOptions
from raypipe.simulator.wire import Body, body_of, mapping, texts_of, users_text, whole

PATH = re.compile(r"/model/(.+)/(converse|invoke|count-tokens)$")
_WAIT = "please wait before trying again."
_ERRORS = {
    "throttle": (429, "ThrottlingException", f"Too many tokens, {_WAIT}"),
    "throttle_day": (429, "ThrottlingException", f"Too many tokens per day, {_WAIT}"),
    "throttle_requests": (429, "ThrottlingException", f"Too many requests, {_WAIT}"),
    "timeout": (408, "ModelTimeoutException", "Model processing timed out."),
    "model_error": (424, "ModelErrorException", "The model had an unexpected error."),
    "internal": (500, "InternalServerException", "The system encountered an unexpected error."),
    "unavailable": (503, "ServiceUnavailableException", "Bedrock is unable to process your call."),
    "too_long": (400, "ValidationException", "Input is too long for requested model."),
    "invalid": (400, "ValidationException", "Malformed input request."),
    "denied": (403, "AccessDeniedException", "You don't have access to the specified model."),
    "no_credentials": (403, "MissingAuthenticationTokenException", "Missing Authentication Token"),
    "unknown_model": (
        404,
        "ResourceNotFoundException",
        "Could not resolve the foundation model from the provided model identifier.",
    ),
}


class Bedrock:
    """Bedrock's runtime.

    Args:
        model: What the models are like; read anew at each call.
    """

    def __init__(self, model: ModelOptions) -> None:
        self.model = model

    def read(self, request: Request) -> Call:
        """Return the call behind a path `/model/{modelId}/{operation}`."""
        found = PATH.match(request.target.partition("?")[0])
        assert found is not None, "the router has matched this path"
        if not request.headers.get("authorization"):
            raise Refused("no_credentials")
        model_id, body = unquote(found[1]), body_of(request)
        if found[2] == "converse":
            return self._converse(model_id, body)
        if found[2] == "invoke":
            return self._invoke(model_id, body)
        return self._count(model_id, body)

    def _converse(self, model_id: str, body: Body) -> Call:
        if not isinstance(body.get("messages"), list) or not body["messages"]:
            raise Refused("invalid", "The messages field is empty; add at least one message.")
        limits = mapping(body.get("inferenceConfig"))
        schema, tool = _schema(body)
        return Call(
            "converse",
            base_model(model_id),
            model_id,
            users_text(body["messages"]),
            self._converse_tokens(body),
            whole("maxTokens", limits.get("maxTokens", self.model.max_output_tokens)),
            schema=schema,
            tool=tool,
        )

    def _converse_tokens(self, body: Body) -> int:
        return sum(self._tokens(text) for text in _converse_texts(body))

    def _invoke(self, model_id: str, body: Body) -> Call:
        wanted = vectors.read(base_model(model_id), body, self._tokens)
        return Call(
            "invoke",
            base_model(model_id),
            model_id,
            "\n".join(wanted.texts),
            sum(self._tokens(text) for text in wanted.texts),
            texts=wanted.texts,
            dimension=wanted.dimension,
            extra={"wanted": wanted},
        )

    def _count(self, model_id: str, body: Body) -> Call:
        wanted = mapping(body.get("input"))
        model = base_model(model_id)
        if "converse" in wanted:
            tokens = self._converse_tokens(dict(mapping(wanted["converse"])))
        elif "invokeModel" in wanted:
            inner = _decoded(mapping(wanted["invokeModel"]).get("body"))
            tokens = self._invoke(model_id, inner).input_tokens
        else:
            raise Refused("invalid", "input must hold converse or invokeModel.")
        return Call("count-tokens", model, model_id, "", tokens)

    def _tokens(self, text: str) -> int:
        return count_tokens(text, self.model.bytes_per_token)

    def ok(self, call: Call, answer: Answer) -> Response:
        """Shape a 200."""
        if call.operation == "count-tokens":
            return Response(200, orjson.dumps({"inputTokens": call.input_tokens}))
        if call.operation == "invoke":
            headers = {
                "X-Amzn-Bedrock-Input-Token-Count": str(answer.input_tokens),
                "X-Amzn-Bedrock-Invocation-Latency": str(round(answer.latency_s * 1000)),
            }
            return Response(200, vectors.shaped(call.extra["wanted"], answer), headers)
        tokens = {"inputTokens": answer.input_tokens, "outputTokens": answer.output_tokens}
        said = {
            "metrics": {"latencyMs": round(answer.latency_s * 1000)},
            "output": {"message": {"role": "assistant", "content": _content(call, answer)}},
            "stopReason": answer.stop,
            "usage": {**tokens, "totalTokens": sum(tokens.values())},
        }
        return Response(200, orjson.dumps(said))

    def error(self, refused: Refused) -> Response:
        """Shape an error: its type stands in a header. Bedrock sends no Retry-After."""
        status, name, usual = _ERRORS[refused.kind]
        said: Body = {"message": refused.message or usual}
        if refused.kind == "model_error":
            said["originalStatusCode"] = 500
        return Response(status, orjson.dumps(said), {"x-amzn-ErrorType": name})


def _converse_texts(body: Body) -> Iterator[str]:
    yield from texts_of(body.get("system"))
    for message in map(mapping, body.get("messages") or []):
        yield from texts_of(message.get("content"))
    if body.get("toolConfig"):
        yield orjson.dumps(body["toolConfig"]).decode()


def _schema(body: Body) -> tuple[Any, str]:
    """Return the schema that the answer must fit, and the tool that it is for."""
    tools = mapping(body.get("toolConfig")).get("tools") or []
    specs = [mapping(mapping(one).get("toolSpec")) for one in tools]
    asked = mapping(mapping(mapping(body.get("toolConfig")).get("toolChoice")).get("tool"))
    for spec in specs:
        if spec and asked.get("name", spec.get("name")) == spec.get("name"):
            return mapping(spec.get("inputSchema")).get("json", {}), str(spec.get("name"))
    structure = mapping(
        mapping(mapping(body.get("outputConfig")).get("textFormat")).get("structure")
    )
    text = mapping(structure.get("jsonSchema")).get("schema")
    if text is None:
        return None, ""
    try:
        return orjson.loads(text), ""
    except (orjson.JSONDecodeError, TypeError):
        raise Refused("invalid", "The JSON schema of outputConfig is no JSON.") from None


def _content(call: Call, answer: Answer) -> list[Body]:
    if answer.stop == "tool_use":
        use = {"toolUseId": f"tooluse_{answer.number:012d}", "name": call.tool}
        return [{"toolUse": {**use, "input": orjson.loads(answer.text)}}]
    return [] if answer.stop == "content_filtered" else [{"text": answer.text}]


def _decoded(body: Any) -> Body:
    try:
        decoded = orjson.loads(base64.b64decode(str(body), validate=True))
    except (binascii.Error, ValueError):
        raise Refused("invalid", "invokeModel.body is no JSON.") from None
    return decoded if isinstance(decoded, dict) else {}
