"""Clients of a model server, what they are asked, and how calls go wrong."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from raypipe import embedded
from raypipe.embedders.bedrock_cohere import CohereEmbedding
from raypipe.embedders.bedrock_nova import NovaEmbedding
from raypipe.embedders.bedrock_titan import TitanEmbedding
from raypipe.embedders.openai import OpenAIEmbedding
from raypipe.models.bedrock import BedrockChat
from raypipe.models.openai import OpenAIChat
from raypipe.models.protocol import ModelError, Question
from raypipe.simulator.model_server import ModelServer
from raypipe.simulator.options import ServerOptions

SAMPLES = Path(embedded.__file__).parent / "samples"
BOOK = (SAMPLES / "stovepipe-lookout-diary.txt").read_text(encoding="utf-8")
SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "summary": {"type": "string"}},
    "required": ["title", "summary"],
    "additionalProperties": False,
}
QUESTION = Question("You summarize books.", f"Summarize.\n<book>{BOOK}</book>", max_tokens=300)
STRUCTURED = Question("Answer in JSON.", f"<book>{BOOK}</book>", 400, schema=SCHEMA)


@contextlib.contextmanager
def serving(**options: Any) -> Iterator[ModelServer]:
    with ModelServer(ServerOptions(**options)) as running:
        yield running


def bedrock(url: str, **settings: Any) -> BedrockChat:
    settings = {"model_id": "us.amazon.nova-lite-v1:0", "region": "us-east-1", **settings}
    return BedrockChat(endpoint_url=url, **settings)


def openai(url: str, **settings: Any) -> OpenAIChat:
    return OpenAIChat(**{"model_id": "some-model", "base_url": f"{url}/v1", **settings})


CHATS: list[Callable[..., Any]] = [bedrock, openai]
CHAT = pytest.mark.parametrize("made", CHATS)


def titan(url: str, **settings: Any) -> TitanEmbedding:
    return TitanEmbedding(endpoint_url=url, region="us-east-1", **settings)


def nova(url: str, **settings: Any) -> NovaEmbedding:
    return NovaEmbedding(endpoint_url=url, region="us-east-1", **settings)


def cohere(url: str, **settings: Any) -> CohereEmbedding:
    return CohereEmbedding(endpoint_url=url, region="us-east-1", **settings)


def cohere_v3(url: str, **settings: Any) -> CohereEmbedding:
    return cohere(url, model_id="cohere.embed-multilingual-v3", **settings)


def openai_vectors(url: str, **settings: Any) -> OpenAIEmbedding:
    return OpenAIEmbedding(base_url=f"{url}/v1", **settings)


EMBEDDINGS: list[Callable[..., Any]] = [titan, nova, cohere, cohere_v3, openai_vectors]
EMBEDDING = pytest.mark.parametrize("made", EMBEDDINGS)


def tokens(answers: list[Any]) -> dict[str, int]:
    return {
        "input": sum(one.usage.input_tokens for one in answers),
        "output": sum(one.usage.output_tokens for one in answers),
    }


def counted(server: ModelServer) -> dict[str, int]:
    said = server.stats()["tokens"]
    return {name: said[name] for name in ("input", "output")}


ERRORS = {  # fault: status, Bedrock's code, OpenAI's code
    "throttle": (429, "ThrottlingException", "rate_limit_exceeded"),
    "throttle_day": (429, "ThrottlingException", "rate_limit_exceeded"),
    "timeout": (408, "ModelTimeoutException", "timeout"),
    "model_error": (424, "ModelErrorException", "server_error"),
    "internal": (500, "InternalServerException", "server_error"),
    "unavailable": (503, "ServiceUnavailableException", "server_error"),
    "too_long": (400, "ValidationException", "context_length_exceeded"),
    "denied": (403, "AccessDeniedException", "model_not_allowed"),
    "unknown_model": (404, "ResourceNotFoundException", "model_not_found"),
    "hang": (0, "ReadTimeout", "ReadTimeout"),
    "reset": (0, "ConnectionError", "ConnectionError"),
    "truncated": (200, "BadResponse", "BadResponse"),
}
PAID = {"hang", "reset", "truncated"}
LASTING = {"denied", "unknown_model", "too_long", "reset", "truncated"}


@contextlib.contextmanager
def faulty(server: ModelServer, fault: str) -> Iterator[None]:
    server.control(faults={fault: 1.0, "hang_s": 30.0})
    server.reset()
    try:
        yield
    finally:
        server.control(faults={fault: 0.0})


def refused(model: Any, ask: Callable[[], object]) -> ModelError:
    """Return the error of a call, which shows nothing of what was sent."""
    with pytest.raises(ModelError) as caught:
        ask()
    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None or error.__suppress_context__
    shown = f"{error} {vars(error)}"
    assert not any(word in shown for word in ("fire", "Summarize", "simulated-secret"))
    return error


@contextlib.contextmanager
def answering(body: bytes, status: str = "200 OK", headers: str = "") -> Iterator[str]:
    """Answer every request with these bytes, and close: what no server does on purpose."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nConnection: close\r\n{headers}"
    whole = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                taken, _ = listener.accept()
                with taken:
                    _read(taken)
                    taken.sendall(whole)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(serve)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()


def _read(taken: socket.socket) -> None:
    data = b""
    while b"\r\n\r\n" not in data:
        data += taken.recv(65_536)
    head, _, rest = data.partition(b"\r\n\r\n")
    lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    left = int(lines[b"content-length"]) - len(rest)
    while left > 0:
        left -= len(taken.recv(65_536))
