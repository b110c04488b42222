"""Proxies and firewalls that answer in place of a model: about one call, and never quoted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from raypipe.core.errors import BookError, SetupError
from raypipe.models.bedrock import BedrockChat
from raypipe.models.calling import retrying
from raypipe.models.calling.caller import ModelCaller
from raypipe.models.calling.model_calls import chat_call
from raypipe.models.context import ModelContext
from raypipe.models.openai import OpenAIChat
from raypipe.models.protocol import ChatModel, ModelError, Question
from raypipe.state.local import LocalState
from tests.unit.models_here import set_credentials

QUESTION = Question("", "What is it about?", max_tokens=20)
PAGE = b"<html><head><title>Request blocked</title></head><body>secret page</body></html>"


class ProxyServer(ThreadingHTTPServer):
    """Answers each request with the same status, headers and body."""

    answer: tuple[int, dict[str, str], bytes] = (403, {}, PAGE)
    requests = 0


@pytest.fixture(scope="module")
def server() -> Iterator[ProxyServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            http_server.requests += 1
            status, headers, body = http_server.answer
            self.send_response(status)
            defaults = {"Content-Type": "text/html", "Content-Length": str(len(body))}
            for name, value in {**defaults, **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    http_server = ProxyServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http_server.serve_forever, args=(0.01,), daemon=True).start()
    with pytest.MonkeyPatch.context() as patch:
        set_credentials(patch)
        yield http_server
    http_server.shutdown()
    http_server.server_close()


def bedrock(port: int) -> ChatModel:
    url = f"http://127.0.0.1:{port}"
    return BedrockChat("amazon.nova-lite-v1:0", region="us-east-1", endpoint_url=url)


def openai(port: int) -> ChatModel:
    return OpenAIChat("m", base_url=f"http://127.0.0.1:{port}/v1")


MODELS = pytest.mark.parametrize("model_at", [bedrock, openai])
BODIES = {
    "page": ({}, PAGE),
    "doctype": ({}, b"<!DOCTYPE html>\n<title>x</title>"),
    "text": ({"Content-Type": "text/plain"}, b"Blocked by policy 7"),
    "nothing": ({}, b""),
    "AWS WAF": ({"Content-Type": "application/json"}, b'{"message":"Forbidden"}'),
    "not UTF-8": ({}, b"<html>\xff\xfe</html>"),
    "a list": ({"Content-Type": "application/json"}, b"[1]"),
    "deep": ({"Content-Type": "application/json"}, b"[" * 100_000),
    "page as JSON": ({"Content-Type": "application/octet-stream"}, PAGE),
}


@MODELS
@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("status", [400, 403, 405, 418, 451, 502, 520])
def test_an_answer_of_a_proxy_is_recognized_and_not_quoted(
    server: ProxyServer, model_at: Callable[[int], ChatModel], name: str, status: int
) -> None:
    server.answer = status, *BODIES[name]
    with pytest.raises(ModelError) as caught:
        model_at(server.server_port).call(QUESTION)
    assert caught.value.status == status
    assert "secret" not in str(caught.value)
    if status < 500:
        assert caught.value.is_foreign
        assert f"a proxy or firewall answered in place of the model (status {status})" in str(
            caught.value
        )


@MODELS
def test_an_error_of_the_service_is_its_own(
    server: ProxyServer, model_at: Callable[[int], ChatModel]
) -> None:
    headers = {"Content-Type": "application/json"}
    for body in (
        b'{"message": "temperature must be positive"}',
        b'{"message": "no", "error": {"message": "no", "type": "invalid_request_error"}}',
    ):
        server.answer = 400, headers, body
        with pytest.raises(ModelError) as caught:
            model_at(server.server_port).call(QUESTION)
        assert not caught.value.is_foreign
    server.answer = 403, {**headers, "x-amzn-ErrorType": "AccessDeniedException"}, b'{"error": {}}'
    with pytest.raises(ModelError) as caught:
        model_at(server.server_port).call(QUESTION)
    assert not caught.value.is_foreign


@MODELS
def test_a_firewall_fails_the_book_of_one_call(
    server: ProxyServer,
    model_at: Callable[[int], ChatModel],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(retrying, "full_jitter", lambda *_, **__: 0.0)
    caller = ModelCaller(ModelContext(LocalState(str(tmp_path)), {}, max_in_flight=2), "pool")
    model = model_at(server.server_port)

    def call(status: int) -> BaseException | None:
        server.answer, server.requests = (status, {}, PAGE), 0
        return caller.submit(
            "book", chat_call(model, QUESTION, lambda _: True), name="a.txt"
        ).exception(20)

    blocked = call(403)
    assert isinstance(blocked, BookError)
    assert (blocked.kind, blocked.retryable, server.requests) == ("model", True, 1)
    assert "a.txt" in blocked.message
    for status in (425, 520, 527):
        assert isinstance(call(status), BookError)
        assert server.requests == 7
    assert isinstance(call(407), SetupError)


@MODELS
@pytest.mark.parametrize("status", [403, 400, 418])
def test_the_check_before_a_run_names_the_proxy(
    server: ProxyServer, model_at: Callable[[int], ChatModel], status: int
) -> None:
    server.answer = status, {}, PAGE
    with pytest.raises(SetupError, match="a proxy or firewall answered") as caught:
        model_at(server.server_port).check()
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


@MODELS
@pytest.mark.parametrize(
    ("header", "wait_s"),
    [("1e9", 900.0), ("inf", None), ("nan", None), ("-5", 0.0), ("soon", None), ("", None)],
)
def test_the_wait_that_a_proxy_asks_for_is_bounded(
    server: ProxyServer, model_at: Callable[[int], ChatModel], header: str, wait_s: float | None
) -> None:
    server.answer = 429, {"Retry-After": header}, PAGE
    with pytest.raises(ModelError) as caught:
        model_at(server.server_port).call(QUESTION)
    assert caught.value.retry_after_s == wait_s
