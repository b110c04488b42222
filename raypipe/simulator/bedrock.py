"""Simulate Bedrock's Converse, InvokeModel (embeddings) and CountTokens, as of boto3 1.44."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import orjson

from raypipe.core.model_ids import base_model_id
from raypipe.simulator import bedrock_embeddings
from raypipe.simulator.calls import CallRefused, SimulatedAnswer, SimulatedCall
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


class BedrockApi:
    """Bedrock's runtime; a `ModelApi`.

    Args:
        model: Properties of the models; may be replaced between calls.
    """

    def __init__(self, model: ModelOptions) -> None:
        self.model = model

    def parse_call(self, request: HttpRequest) -> SimulatedCall:
        """Return the call in a request to `/model/{modelId}/{operation}`.

        Raises:
            CallRefused: Credentials are missing, or the body is invalid.
        """
        path = PATH.match(request.target.partition("?")[0])
        assert path is not None, "the router has matched this path"
        if not request.headers.get("authorization"):
            raise CallRefused("no_credentials")
        model_id, body = unquote(path[1]), parse_body(request)
        if path[2] == "converse":
            return self._parse_converse(model_id, body)
        if path[2] == "invoke":
            return self._parse_invoke(model_id, body)
        return self._parse_count_tokens(model_id, body)

    def _parse_converse(self, model_id: str, body: Body) -> SimulatedCall:
        if not isinstance(body.get("messages"), list) or not body["messages"]:
            raise CallRefused("invalid", "The messages field is empty; add at least one message.")
        limits = as_mapping(body.get("inferenceConfig"))
        schema, tool = _requested_schema(body)
        return SimulatedCall(
            "converse",
            base_model_id(model_id),
            model_id,
            last_user_text(body["messages"]),
            self._count_converse(body),
            whole_number("maxTokens", limits.get("maxTokens", self.model.max_output_tokens)),
            schema=schema,
            tool=tool,
            detail=self._parse_tier(body),
        )

    def _parse_tier(self, body: Body) -> str:
        tier = str(as_mapping(body.get("serviceTier")).get("type") or "")
        if tier == "reserved" and tier not in self.model.tiers:
            raise CallRefused("invalid", "Reservation not found.")
        if tier and tier not in self.model.tiers:
            raise CallRefused("invalid", "The service tier provided is invalid.")
        return tier

    def _count_converse(self, body: Body) -> int:
        return sum(self._count(text) for text in _converse_texts(body))

    def _parse_invoke(self, model_id: str, body: Body) -> SimulatedCall:
        model = base_model_id(model_id)
        embedding = bedrock_embeddings.parse_request(model, body, self._count)
        return SimulatedCall(
            "invoke",
            model,
            model_id,
            "\n".join(embedding.texts),
            sum(self._count(text) for text in embedding.texts),
            texts=embedding.texts,
            detail=embedding,
        )

    def _parse_count_tokens(self, model_id: str, body: Body) -> SimulatedCall:
        counted = as_mapping(body.get("input"))
        if "converse" in counted:
            tokens = self._count_converse(dict(as_mapping(counted["converse"])))
        elif "invokeModel" in counted:
            invoke_body = _decode_body(as_mapping(counted["invokeModel"]).get("body"))
            tokens = self._parse_invoke(model_id, invoke_body).input_tokens
        else:
            raise CallRefused("invalid", "input must contain converse or invokeModel.")
        return SimulatedCall("count-tokens", base_model_id(model_id), model_id, "", tokens)

    def _count(self, text: str) -> int:
        return count_tokens(text, self.model.bytes_per_token)

    def build_response(self, call: SimulatedCall, answer: SimulatedAnswer) -> HttpResponse:
        """Return the response with status 200."""
        if call.operation == "count-tokens":
            return HttpResponse(200, orjson.dumps({"inputTokens": call.input_tokens}))
        if call.operation == "invoke":
            headers = {
                "X-Amzn-Bedrock-Input-Token-Count": str(answer.input_tokens),
                "X-Amzn-Bedrock-Invocation-Latency": str(round(answer.latency_s * 1000)),
            }
            return HttpResponse(200, bedrock_embeddings.build_body(call.detail, answer), headers)
        tokens = {"inputTokens": answer.input_tokens, "outputTokens": answer.output_tokens}
        body: Body = {
            "metrics": {"latencyMs": round(answer.latency_s * 1000)},
            "output": {"message": {"role": "assistant", "content": _build_content(call, answer)}},
            "stopReason": answer.stop_reason,
            "usage": {**tokens, "totalTokens": sum(tokens.values())},
        }
        if call.tier:
            body["serviceTier"] = {"type": call.tier}
        return HttpResponse(200, orjson.dumps(body))

    def build_error(self, error: CallRefused) -> HttpResponse:
        """Return an error response; its type is in a header. Bedrock sends no Retry-After."""
        status, name, usual_message = _ERRORS[error.kind]
        body: Body = {"message": error.message or usual_message}
        if error.kind == "model_error":
            body["originalStatusCode"] = 500
        return HttpResponse(status, orjson.dumps(body), {"x-amzn-ErrorType": name})


def _converse_texts(body: Body) -> Iterator[str]:
    yield from content_texts(body.get("system"))
    for message in map(as_mapping, body.get("messages") or []):
        yield from content_texts(message.get("content"))
    if body.get("toolConfig"):
        yield orjson.dumps(body["toolConfig"]).decode()


def _requested_schema(body: Body) -> tuple[Any, str]:
    """Return the schema that the answer must fit, or None, and the tool that it is for."""
    tool_config = as_mapping(body.get("toolConfig"))
    specs = [
        as_mapping(as_mapping(tool).get("toolSpec")) for tool in tool_config.get("tools") or []
    ]
    choice = as_mapping(as_mapping(tool_config.get("toolChoice")).get("tool"))
    for spec in specs:
        if spec and choice.get("name", spec.get("name")) == spec.get("name"):
            return as_mapping(spec.get("inputSchema")).get("json", {}), str(spec.get("name"))
    text_format = as_mapping(as_mapping(body.get("outputConfig")).get("textFormat"))
    structure = as_mapping(text_format.get("structure"))
    text = as_mapping(structure.get("jsonSchema")).get("schema")
    if text is None:
        return None, ""
    try:
        return orjson.loads(text), ""
    except (orjson.JSONDecodeError, TypeError):
        raise CallRefused("invalid", "The JSON schema of outputConfig is not valid JSON.") from None


def _build_content(call: SimulatedCall, answer: SimulatedAnswer) -> list[Body]:
    if answer.stop_reason == "tool_use":
        tool_use = {"toolUseId": f"tooluse_{answer.number:012d}", "name": call.tool}
        return [{"toolUse": {**tool_use, "input": orjson.loads(answer.text)}}]
    return [] if answer.stop_reason == "content_filtered" else [{"text": answer.text}]


def _decode_body(encoded: Any) -> Body:
    """Return the InvokeModel body inside a CountTokens request, which is in base64."""
    try:
        body = orjson.loads(base64.b64decode(str(encoded), validate=True))
    except (binascii.Error, ValueError):
        raise CallRefused("invalid", "invokeModel.body is not valid JSON.") from None
    return body if isinstance(body, dict) else {}
