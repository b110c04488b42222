"""From a request to its response: the router, the log, and what the counters are told."""

from __future__ import annotations

import hashlib
import logging
import time
from typing import Any, TextIO

import orjson

from raypipe.simulator import bedrock, openai
from raypipe.simulator.bedrock import Bedrock
from raypipe.simulator.calls import Answer, Call, Refused
from raypipe.simulator.engine import Engine
from raypipe.simulator.faults import OF_TEXT, Fault
from raypipe.simulator.http import Request, Response
from raypipe.simulator.openai import OpenAI
from raypipe.simulator.wire import Wire, body_of

log = logging.getLogger(__name__)

_BROKEN = OF_TEXT | {"truncated", "reset"}


class Service:
    """Answers requests.

    Args:
        engine: The models.
        calls: A file that gets one JSON line a call; None = none.
    """

    def __init__(self, engine: Engine, calls: TextIO | None = None) -> None:
        self.engine = engine
        self._calls = calls
        self._bedrock = Bedrock(engine.options.model)
        self._openai = OpenAI(engine.options.model)

    async def handle(self, request: Request) -> Response:
        """Answer one request; never raises."""
        try:
            return await self._routed(request)
        except Exception:
            log.exception("the model server stumbled over %s %s", request.method, request.target)
            return Response(500, b'{"message": "the model server has a bug"}')

    async def _routed(self, request: Request) -> Response:
        path = request.target.partition("?")[0]
        self._bedrock.model = self._openai.model = self.engine.options.model
        if request.method == "POST" and bedrock.PATH.match(path):
            return await self._call(self._bedrock, request)
        if request.method == "POST" and path in openai.PATHS[:2]:
            return await self._call(self._openai, request)
        if request.method == "GET" and path == "/v1/models":
            return self._openai.models(request)
        if request.method == "GET" and path == "/stats":
            return _json(200, self.engine.report())
        if request.method == "POST" and path == "/reset":
            self.engine.reset()
            return _json(200, {"reset": True})
        if request.method == "POST" and path == "/control":
            return self._control(request)
        return _json(404, {"message": f"there is no {request.method} {path} here"})

    def _control(self, request: Request) -> Response:
        try:
            self.engine.change(body_of(request))
        except (ValueError, Refused) as error:
            return _json(400, {"message": str(error)})
        return _json(200, {"changed": True})

    async def _call(self, wire: Wire, request: Request) -> Response:
        began, prompt = time.time(), b""
        call: Call | None = None
        stats = self.engine.stats
        try:
            call = wire.read(request)
            prompt = _hash(call, request.body)
            if call.operation == "count-tokens":
                stats.offer(call)
                answer, fault = Answer("", "end_turn", call.input_tokens, 0), Fault()
                return wire.ok(call, answer)
            answer, fault = await self.engine.work(call, prompt)
        except Refused as refused:
            response = wire.error(refused)
            self.engine.stats.refuse(response.status, refused.kind)
            self._note(call, prompt, began, response.status, refused.kind, None)
            return response
        return self._answered(wire, call, prompt, began, answer, fault)

    def _answered(
        self, wire: Wire, call: Call, prompt: bytes, began: float, answer: Answer, fault: Fault
    ) -> Response:
        tokens = answer.input_tokens + answer.output_tokens
        stats = self.engine.stats

        def sent(there: bool) -> None:
            if not there:
                stats.abandon(tokens)
            elif fault.name != "reset":
                sound = fault.name not in _BROKEN and answer.stop != "max_tokens"
                stats.answer(prompt, tokens, time.time() - began, sound)
            status = 200 if there and fault.name != "reset" else 0
            self._note(call, prompt, began, status, fault.name, answer)

        if fault.name == "reset":
            return Response(0, close=True, sent=sent)
        shaped = wire.ok(call, answer)
        body = shaped.body[: len(shaped.body) // 2] if fault.name == "truncated" else shaped.body
        return Response(200, body, shaped.headers, sent=sent)

    def _note(
        self,
        call: Call | None,
        prompt: bytes,
        began: float,
        status: int,
        fault: str,
        answer: Answer | None,
    ) -> None:
        """Write a line of the log; status 0 = no answer was sent."""
        if self._calls is None:
            return
        said: dict[str, Any] = {
            "prompt": prompt.hex(),
            "operation": call.operation if call else "",
            "model": call.asked_model if call else "",
            "sent_at": round(began, 4),
            "answered_at": round(time.time(), 4),
            "status": status,
            "fault": fault,
            "input_tokens": call.input_tokens if call else 0,
            "max_tokens": call.max_tokens if call else 0,
            "output_tokens": answer.output_tokens if answer else 0,
        }
        self._calls.write(orjson.dumps(said).decode() + "\n")


def _hash(call: Call, body: bytes) -> bytes:
    """Hash operation, model and body; the same for every region prefix of a model.

    Metadata that a client attaches to a call is no part of the prompt.
    """
    if b'"requestMetadata"' in body:
        kept = {key: one for key, one in orjson.loads(body).items() if key != "requestMetadata"}
        body = orjson.dumps(kept)
    named = f"{call.operation} {call.model}\n".encode("utf-8", "replace")
    return hashlib.blake2b(named + body, digest_size=16).digest()


def _json(status: int, said: Any) -> Response:
    return Response(status, orjson.dumps(said))
