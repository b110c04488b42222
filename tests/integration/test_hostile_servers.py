"""Model servers whose answers no client expects: what is paid for, recorded and used."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from raypipe.core.errors import BookError
from raypipe.embedders.bedrock_cohere import CohereEmbedding
from raypipe.embedders.bedrock_nova import NovaEmbedding
from raypipe.embedders.bedrock_titan import TitanEmbedding
from raypipe.embedders.model import ModelEmbedder
from raypipe.embedders.openai import OpenAIEmbedding
from raypipe.ledger.answer_cache import list_entries, read_usage
from raypipe.models.calling.caller import ModelCaller
from raypipe.models.calling.model_calls import chat_call
from raypipe.models.context import ModelContext
from raypipe.models.protocol import Answer, Question
from raypipe.state.local import LocalState
from tests.integration.model_clients import bedrock, openai
from tests.unit.models_here import set_credentials

QUESTION = Question("Be brief.", "What is it about? " * 30, max_tokens=300)
TRIES = 3
"""Calls of a run for an answer that is unusable: the policy UNKNOWN."""
HUGE = "7" * 5_000


@dataclass
class Server:
    """A server that gives the same answer to every request.

    Args:
        url: Where it is.
        body: Body of the answer.
        headers: Headers of the answer.
        requests: Number of requests since the last `answer_with`.
    """

    url: str = ""
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    requests: int = 0

    def answer_with(self, body: str, headers: dict[str, str] | None = None) -> None:
        self.body, self.headers = body.encode("utf-8", "surrogateescape"), headers or {}
        self.requests = 0


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            state.requests += 1
            self.send_response(200)
            for name, value in {"Content-Type": "application/json", **state.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(state.body)))
            self.end_headers()
            self.wfile.write(state.body)

        def log_message(self, *_: object) -> None: ...

    http_server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{http_server.server_port}"
    Thread(target=http_server.serve_forever, args=(0.01,), daemon=True).start()
    with pytest.MonkeyPatch.context() as patch:
        set_credentials(patch)  # once, so that all tests share the clients
        yield state
    http_server.shutdown()
    http_server.server_close()


def converse(**changes: Any) -> str:
    body = {
        "output": {"message": {"role": "assistant", "content": [{"text": "It is good."}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 150, "outputTokens": 4, "totalTokens": 154},
    }
    return json.dumps({**body, **changes})


def completion(**changes: Any) -> str:
    choice = {"message": {"content": "It is good."}, "finish_reason": "stop", "index": 0}
    usage = {"prompt_tokens": 150, "completion_tokens": 4}
    fields = {name: changes.pop(name) for name in ("choices", "usage") if name in changes}
    return json.dumps({"choices": [{**choice, **changes}], "usage": usage, **fields})


def content(blocks: Any) -> str:
    return converse(output={"message": {"content": blocks}})


NO_COUNTS: list[Any] = [None, [], {}, "many", 7]
WRONG_COUNTS: list[Any] = [None, -5, 1.5, "150", True, 10**40, [1], {"a": 1}]

USED = {
    **{f"bedrock usage {value}": (bedrock, converse(usage=value)) for value in NO_COUNTS[:3]},
    **{
        f"bedrock count {value}": (
            bedrock,
            converse(usage={"inputTokens": value, "outputTokens": value, "totalTokens": value}),
        )
        for value in WRONG_COUNTS
    },
    "bedrock other blocks": (
        bedrock,
        content([{"reasoningContent": {"reasoningText": {"text": "x"}}}, {"text": "It is good."}]),
    ),
    "bedrock blocks is a string": (bedrock, content("It is good.")),
    "bedrock reasoning is a string": (
        bedrock,
        content([{"reasoningContent": "x"}, {"text": "It is good."}]),
    ),
    **{
        f"bedrock {reason}": (bedrock, converse(stopReason=reason))
        for reason in ("tool_use", "malformed_model_output", "a_new_reason")
    },
    "openai content is a list": (
        openai,
        completion(message={"content": [{"type": "text", "text": "It is good."}]}),
    ),
    "openai stop reason is null": (openai, completion(finish_reason=None)),
    "bedrock 5,000 digits": (bedrock, converse(extra="@").replace('"@"', HUGE)),
    "bedrock NaN": (bedrock, converse(extra=float("nan"))),
    "bedrock half a pair": (bedrock, converse().replace("It is", r"\ud800 It is")),
    **{f"openai usage {value}": (openai, completion(usage=value)) for value in NO_COUNTS},
    **{
        f"openai count {value}": (
            openai,
            completion(usage={"prompt_tokens": value, "completion_tokens": value}),
        )
        for value in WRONG_COUNTS
    },
    "openai NaN": (openai, completion(logprobs=float("nan"))),
    "openai 5,000 digits": (openai, completion(logprobs="@").replace('"@"', HUGE)),
    "openai half a pair": (openai, completion().replace("It is", r"\ud800 It is")),
}


@pytest.mark.parametrize(("made", "body"), USED.values(), ids=USED)
def test_an_answer_with_a_defect_beside_its_text_is_used(
    made: Callable[..., Any], body: str, server: Server, tmp_path: Path
) -> None:
    server.answer_with(body)
    for _ in range(2):
        answer = ask(made(server.url), tmp_path).result(20)
        assert answer.text.endswith("It is good.")
        assert server.requests == 1
    (usage,) = usages(tmp_path)
    assert 50 < usage.input_tokens < 600
    assert 0 < usage.output_tokens < 50


BEDROCK_REFUSED = {
    "no text": converse(output=None),
    "list for object": converse(output=[]),
    "message is a string": converse(output={"message": "It is good."}),
    "blocks is an object": content({"text": "It is good."}),
    "blocks are strings": content(["text"]),
    "text is an object": content([{"text": {"text": "x"}}]),
    "text is a number": content([{"text": 7}]),
    "stop reason is a list": converse(stopReason=["end_turn"]),
    "stop reason is an object": converse(stopReason={"a": 1}),
    "deep": '{"output":' + "[" * 100_000,
    "HTML": "<html><body>Sign in</body></html>",
    "empty": "",
    "a list": "[]",
    "null": "null",
}
OPENAI_REFUSED = {
    "no choice": completion(choices=[]),
    "empty choices": completion(choices=[{}, {}]),
    "choices is an object": completion(choices={"a": 1}),
    "choices is null": completion(choices=None),
    "choices are strings": completion(choices=["x"]),
    "message is a string": completion(message="It is good."),
    "message is null": completion(message=None),
    "content is an object": completion(message={"content": {"a": 1}}),
    "content is a number": completion(message={"content": 7}),
    "stop reason is a list": completion(finish_reason=["stop"]),
    "deep": "[" * 100_000,
    "HTML": "<html><body>Sign in</body></html>",
    "empty": "",
    "not UTF-8": "\udcff",
}
REFUSED = {
    **{f"bedrock: {name}": (bedrock, body) for name, body in BEDROCK_REFUSED.items()},
    **{f"openai: {name}": (openai, body) for name, body in OPENAI_REFUSED.items()},
}


@pytest.mark.parametrize(("made", "body"), REFUSED.values(), ids=REFUSED)
def test_an_unusable_answer_is_recorded_and_tried_as_often_as_the_policy_says(
    made: Callable[..., Any], body: str, server: Server, tmp_path: Path
) -> None:
    server.answer_with(body)
    for run in (1, 2):
        with pytest.raises(BookError) as caught:
            ask(made(server.url), tmp_path).result(20)
        assert (caught.value.kind, caught.value.retryable) == ("model", True)
        assert "\n" not in caught.value.message
        assert server.requests == len(usages(tmp_path)) == TRIES * run
    assert all(usage.input_tokens > 50 for usage in usages(tmp_path))


def test_counted_tokens_of_an_unusable_answer_are_recorded_exactly(
    server: Server, tmp_path: Path
) -> None:
    server.answer_with(content([{"text": 7}]))
    with pytest.raises(BookError):
        ask(bedrock(server.url), tmp_path).result(20)
    assert {(usage.input_tokens, usage.output_tokens) for usage in usages(tmp_path)} == {(150, 4)}


def ask(model: Any, folder: Path) -> Future[Answer]:
    """Ask the model in a run of its own."""
    context = ModelContext(LocalState(str(folder)))
    caller = ModelCaller(context, model.pool, sleep=lambda _: None)
    call = chat_call(model, QUESTION, lambda answer: answer.stop_reason == "end")
    return caller.submit("book", call)


def usages(folder: Path) -> list[Any]:
    state = LocalState(str(folder))
    return [usage for _, usage in read_usage(state, list_entries(state))]


DIMENSION = 256
VECTOR = [0.5] * DIMENSION


def titan_body(vector: Any = VECTOR, **changes: Any) -> str:
    return json.dumps({"embedding": vector, "inputTextTokenCount": 3, **changes})


def openai_body(vector: Any = VECTOR, **changes: Any) -> str:
    item = {"index": 0, "embedding": vector, **changes.pop("item", {})}
    return json.dumps({"data": [item], "usage": {"prompt_tokens": 3}, **changes})


def titan(url: str) -> Any:
    return TitanEmbedding(endpoint_url=url, region="us-east-1", dimension=DIMENSION)


def nova(url: str) -> Any:
    return NovaEmbedding(endpoint_url=url, region="us-east-1", dimension=DIMENSION)


def cohere(url: str) -> Any:
    return CohereEmbedding(endpoint_url=url, region="us-east-1", dimension=DIMENSION)


def openai_vectors(url: str) -> Any:
    return OpenAIEmbedding("local", base_url=f"{url}/v1", dimension=DIMENSION)


FLOATS = base64.b64encode(struct.pack(f"<{DIMENSION}f", *VECTOR)).decode()
COUNT = "x-amzn-bedrock-input-token-count"
VECTORS_USED: dict[str, tuple[Any, str, dict[str, str]]] = {
    "no count": (titan, titan_body(inputTextTokenCount=None), {}),
    "count is text": (titan, titan_body(inputTextTokenCount="3"), {}),
    "header is text": (titan, titan_body(), {COUNT: "many"}),
    "header is huge": (titan, titan_body(), {COUNT: HUGE}),
    "header is negative": (titan, titan_body(), {COUNT: "-3"}),
    "openai no usage": (openai_vectors, openai_body(usage=None), {}),
    "openai usage is a list": (openai_vectors, openai_body(usage=[]), {}),
    "base64": (openai_vectors, openai_body(FLOATS), {}),
    "integers": (titan, titan_body([1] * DIMENSION), {}),
}


@pytest.mark.parametrize(("made", "body", "headers"), VECTORS_USED.values(), ids=VECTORS_USED)
def test_vectors_with_a_defect_beside_them_are_used(
    made: Callable[..., Any], body: str, headers: dict[str, str], server: Server, tmp_path: Path
) -> None:
    server.answer_with(body, headers)
    for _ in range(2):
        vectors = embed(made(server.url), tmp_path)
        assert vectors == pytest.approx(DIMENSION**-0.5)
        assert server.requests == 1
    (usage,) = usages(tmp_path)
    assert 0 < usage.input_tokens < 100


VECTORS_REFUSED = {
    "a number": (titan, titan_body(7)),
    "an object": (titan, titan_body({"0": 0.5})),
    "text": (titan, titan_body("0.5")),
    "null": (titan, titan_body(None)),
    "short": (titan, titan_body(VECTOR[1:])),
    "NaN": (titan, titan_body([float("nan")] * DIMENSION)),
    "Infinity": (titan, titan_body([float("inf")] * DIMENSION)),
    "strings": (titan, titan_body(["0.5"] * DIMENSION)),
    "booleans": (titan, titan_body([True] * DIMENSION)),
    "nested": (titan, titan_body([VECTOR] * DIMENSION)),
    "an integer that no float holds": (titan, titan_body([10**400, *VECTOR[1:]])),
    "nova: an object": (nova, json.dumps({"embeddings": {"embedding": VECTOR}})),
    "nova: text": (nova, json.dumps({"embeddings": ["x"]})),
    "cohere: an object": (cohere, json.dumps({"embeddings": {"float": {"0": VECTOR}}})),
    "cohere: null": (cohere, json.dumps({"embeddings": None})),
    "openai: no data": (openai_vectors, openai_body(data=None)),
    "openai: an object": (openai_vectors, openai_body(data={"0": VECTOR})),
    "openai: no index": (openai_vectors, json.dumps({"data": [{"embedding": VECTOR}]})),
    "openai: wrong index": (openai_vectors, openai_body(item={"index": 1})),
    "openai: index is infinite": (openai_vectors, openai_body(item={"index": float("inf")})),
    "openai: index is a list": (openai_vectors, openai_body(item={"index": []})),
    "openai: two for one": (openai_vectors, openai_body(data=[
        {"index": 0, "embedding": VECTOR}, {"index": 1, "embedding": VECTOR}])),
    "openai: base64 is cut": (openai_vectors, openai_body(FLOATS[:-6])),
    "openai: no base64": (openai_vectors, openai_body("über")),
}  # fmt: skip


@pytest.mark.parametrize(("made", "body"), VECTORS_REFUSED.values(), ids=VECTORS_REFUSED)
def test_unusable_vectors_are_recorded_and_tried_as_often_as_the_policy_says(
    made: Callable[..., Any],
    body: str,
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("raypipe.models.calling.retrying.full_jitter", lambda *_, **__: 0.0)
    server.answer_with(body)
    for run in (1, 2):
        with pytest.raises(BookError) as caught:
            embed(made(server.url), tmp_path)
        assert caught.value.kind == "model"
        assert server.requests == len(usages(tmp_path)) == TRIES * run


@pytest.mark.parametrize("number", [0.0, 1e300])
def test_vectors_without_a_length_are_not_served_from_the_cache(
    number: float, server: Server, tmp_path: Path
) -> None:
    server.answer_with(titan_body([number] * DIMENSION))
    for run in (1, 2):
        with pytest.raises(BookError) as caught:
            embed(titan(server.url), tmp_path)
        assert (caught.value.kind, caught.value.retryable) == ("bad_vector", False)
        assert server.requests == len(usages(tmp_path)) == run


def embed(model: Any, folder: Path) -> Any:
    """Embed a text in a run of its own."""
    context = ModelContext(LocalState(str(folder)))
    return ModelEmbedder(model).with_context(context).embed(["a lamp"])[0]
