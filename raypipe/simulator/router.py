"""Route requests to an API or a control endpoint; count and log the calls."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from typing import Any, TextIO

import orjson

from raypipe.core.net import is_sent_for_web_page
from raypipe.simulator import bedrock, openai
from raypipe.simulator.bedrock import BedrockApi
from raypipe.simulator.call_log import CallLog, ReceivedCall
from raypipe.simulator.calls import CallRefused, SimulatedAnswer, SimulatedCall
from raypipe.simulator.engine import Engine
from raypipe.simulator.faults import TEXT_FAULTS, Fault
from raypipe.simulator.http_connection import HttpRequest, HttpResponse
from raypipe.simulator.model_api import ModelApi
from raypipe.simulator.openai import OpenAIApi
from raypipe.simulator.request_body import parse_body

log = logging.getLogger(__name__)

_UNUSABLE = TEXT_FAULTS | {"truncated", "reset"}


class Router:
    """Answers all requests of a server.

    Args:
        engine: The models.
        log_file: File that gets one JSON line a call; None for no log.
    """

    def __init__(self, engine: Engine, log_file: TextIO | None = None) -> None:
        self._engine = engine
        self._call_log = CallLog(log_file)
        self._bedrock = BedrockApi(engine.options.model)
        self._openai = OpenAIApi(engine.options.model)

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer a request; never raises."""
        try:
            return await self._route(request)
        except Exception:
            log.exception("the model server failed on %s %s", request.method, request.target)
            return HttpResponse(500, b'{"message": "internal error of the model server"}')

    async def _route(self, request: HttpRequest) -> HttpResponse:
        path = request.target.partition("?")[0]
        names = ("host", "origin", "sec-fetch-site")
        if is_sent_for_web_page(*(request.headers.get(name, "") for name in names)):
            return _json_response(403, {"message": "the model server does not answer web pages"})
        self._bedrock.model = self._openai.model = self._engine.options.model
        if request.method == "POST" and bedrock.PATH.match(path):
            return await self._handle_call(self._bedrock, request)
        if request.method == "POST" and path in openai.CALL_PATHS:
            return await self._handle_call(self._openai, request)
        if request.method == "GET" and path == openai.MODELS_PATH:
            return self._openai.list_models(request)
        if request.method == "GET" and path == "/stats":
            return _json_response(200, self._engine.report())
        if request.method == "POST" and path == "/reset":
            self._engine.reset()
            return _json_response(200, {"reset": True})
        if request.method == "POST" and path == "/control":
            return self._change_options(request)
        return _json_response(404, {"message": f"no such endpoint: {request.method} {path}"})

    def _change_options(self, request: HttpRequest) -> HttpResponse:
        try:
            self._engine.change(parse_body(request))
        except (ValueError, CallRefused) as error:
            return _json_response(400, {"message": str(error)})
        return _json_response(200, {"changed": True})

    async def _handle_call(self, api: ModelApi, request: HttpRequest) -> HttpResponse:
        received = ReceivedCall(time.time())
        try:
            call = api.parse_call(request)
            received = ReceivedCall(received.sent_at, call, _hash_prompt(call, request.body))
            if call.operation == "count-tokens":
                self._engine.stats.count_offered(call)
                answer = SimulatedAnswer("", "end_turn", call.input_tokens, 0)
                return api.build_response(call, answer)
            answer, fault = await self._engine.process(call, received.prompt)
        except CallRefused as error:
            response = api.build_error(error)
            self._engine.stats.count_refused(response.status, error.kind)
            self._call_log.write(received, response.status, error.kind)
            return response
        on_sent = self._count_when_sent(received, answer, fault)
        if fault.name == "reset":
            return HttpResponse(0, close=True, on_sent=on_sent)
        complete = api.build_response(call, answer)
        body = complete.body
        if fault.name == "truncated":
            body = body[: len(body) // 2]
        return HttpResponse(200, body, complete.headers, on_sent=on_sent)

    def _count_when_sent(
        self, received: ReceivedCall, answer: SimulatedAnswer, fault: Fault
    ) -> Callable[[bool], None]:
        """Return a callback that counts and logs an answer once it was sent."""
        tokens = answer.input_tokens + answer.output_tokens
        stats = self._engine.stats

        def on_sent(is_connected: bool) -> None:
            if not is_connected:
                stats.count_abandoned(tokens)
            elif fault.name != "reset":
                is_usable = fault.name not in _UNUSABLE and answer.stop_reason != "max_tokens"
                latency_s = time.time() - received.sent_at
                stats.count_answered(received.prompt, tokens, latency_s, is_usable)
            status = 200 if is_connected and fault.name != "reset" else 0
            self._call_log.write(received, status, fault.name, answer)

        return on_sent


def _hash_prompt(call: SimulatedCall, body: bytes) -> bytes:
    """Hash operation, model and body; equal for all region prefixes of a model.

    Metadata that a client attaches to a call is not part of the prompt.
    """
    if b'"requestMetadata"' in body:
        fields = orjson.loads(body)
        fields.pop("requestMetadata", None)
        body = orjson.dumps(fields)
    named = f"{call.operation} {call.model}\n".encode("utf-8", "replace")
    return hashlib.blake2b(named + body, digest_size=16).digest()


def _json_response(status: int, body: Any) -> HttpResponse:
    return HttpResponse(status, orjson.dumps(body))
