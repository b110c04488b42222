"""The commands of docs/openai_servers.md, against the recorded shapes of each server's answers.

The shapes are those of vLLM 0.11, Ollama 0.12, llama.cpp b6700, LM Studio 0.3, TGI 3.3, TEI 1.8 and
Azure's v1 API; texts and numbers are made up.
"""

from __future__ import annotations

import json
import re
import shlex
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from raypipe.cli.override_values import accept_text
from raypipe.config.build import require_part
from raypipe.core.errors import SetupError
from raypipe.models.protocol import ModelError, Question
from tests.unit.command_line import compose_command
from tests.unit.models_here import clear_environment
from tests.unit.summarizers.books import book_with_chapters

PAGE = Path(__file__).parents[3] / "docs" / "openai_servers.md"
SERVERS = ("vLLM", "Ollama", "llama.cpp", "LM Studio", "TGI", "Azure OpenAI")
TEXT = '{"summary": "A keeper keeps."}'
SCHEMA = {"type": "object", "properties": {"summary": {"type": "string"}}}
QUESTION = Question("Be brief.", "What is it about?", 90, schema=SCHEMA, schema_name="book")
TOKENS = {"prompt_tokens": 33, "completion_tokens": 24, "total_tokens": 57}
SAFE = {"hate": {"filtered": False, "severity": "safe"}}
CREATED = {"object": "chat.completion", "created": 1764230400}

CHATS: dict[str, dict[str, Any]] = {
    "vLLM": {
        "id": "chatcmpl-8f2b1c", **CREATED, "model": "Qwen/Qwen3-8B",
        "choices": [{
            "index": 0,
            "message": {
                "role": "assistant", "content": TEXT, "refusal": None, "annotations": None,
                "audio": None, "function_call": None, "tool_calls": [], "reasoning_content": None,
            },
            "logprobs": None, "finish_reason": "stop", "stop_reason": None, "token_ids": None,
        }],
        "service_tier": None, "system_fingerprint": None,
        "usage": {**TOKENS, "prompt_tokens_details": None},
        "prompt_logprobs": None, "prompt_token_ids": None, "kv_transfer_params": None,
    },
    "Ollama": {
        "id": "chatcmpl-394", **CREATED, "model": "qwen3:8b", "system_fingerprint": "fp_ollama",
        "choices": [{
            "index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop",
        }],
        "usage": TOKENS,
    },
    "llama.cpp": {
        "choices": [{
            "finish_reason": "stop", "index": 0,
            "message": {"role": "assistant", "content": TEXT},
        }],
        **CREATED, "model": "qwen3-8b-q4", "system_fingerprint": "b6700-3df2244d",
        "usage": {**TOKENS, "prompt_tokens_details": {"cached_tokens": 0}},
        "id": "chatcmpl-JSUyvLzG7dAr",
        "timings": {"cache_n": 0, "prompt_n": 33, "prompt_ms": 62.7, "predicted_n": 24},
    },
    "LM Studio": {
        "id": "chatcmpl-v5wzz7bgwi", **CREATED, "model": "qwen/qwen3-8b",
        "choices": [{
            "index": 0, "message": {
                "role": "assistant", "content": TEXT, "reasoning_content": "", "tool_calls": [],
            },
            "logprobs": None, "finish_reason": "stop",
        }],
        "usage": TOKENS, "stats": {}, "system_fingerprint": "qwen/qwen3-8b",
    },
    "TGI": {
        "object": "chat.completion", "id": "", "created": 1764230400, "model": "Qwen/Qwen3-8B",
        "system_fingerprint": "3.3.6-sha-7ba1b1b",
        "choices": [{
            "index": 0, "message": {"role": "assistant", "content": TEXT}, "logprobs": None,
            "finish_reason": "stop",
        }],
        "usage": TOKENS,
    },
    "Azure OpenAI": {
        "choices": [{
            "content_filter_results": SAFE, "finish_reason": "stop", "index": 0, "logprobs": None,
            "message": {
                "annotations": [], "content": TEXT, "refusal": None, "role": "assistant",
            },
        }],
        **CREATED, "id": "chatcmpl-C1B91d", "model": "gpt-4.1-mini-2025-04-14",
        "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": SAFE}],
        "service_tier": "default", "system_fingerprint": "fp_b663f05c2c",
        "usage": {**TOKENS, "completion_tokens_details": {"reasoning_tokens": 0}},
    },
}  # fmt: skip

VECTOR = [0.6, 0.8]
DATA = {"data": [{"object": "embedding", "index": 0, "embedding": VECTOR}]}
COUNT = {"prompt_tokens": 5, "total_tokens": 5}
EMBEDDINGS: dict[str, dict[str, Any]] = {
    "vLLM": {
        "id": "embd-2f", "object": "list", "created": 1764230400, "model": "BAAI/bge-m3", **DATA,
        "usage": {**COUNT, "completion_tokens": 0, "prompt_tokens_details": None},
    },
    "Ollama": {"object": "list", **DATA, "model": "nomic-embed-text", "usage": COUNT},
    "llama.cpp": {"model": "bge-m3-q8", "object": "list", "usage": COUNT, **DATA},
    "LM Studio": {
        "object": "list", **DATA, "model": "text-embedding-nomic-embed-text-v1.5",
        "usage": {"prompt_tokens": 0, "total_tokens": 0},
    },
    "TGI": {"object": "list", **DATA, "model": "BAAI/bge-m3", "usage": COUNT},
    "Azure OpenAI": {"object": "list", **DATA, "model": "text-embedding-3-small", "usage": COUNT},
}  # fmt: skip

REFUSALS: dict[str, tuple[int, Any, str]] = {
    "vLLM": (
        404,
        {"error": {"message": "The model `Qwen/Qwen3-8B` does not exist.",
                   "type": "NotFoundError", "param": None, "code": 404}},
        "does not exist",
    ),
    "Ollama": (
        404,
        {"error": {"message": 'model "qwen3:8b" not found, try pulling it first',
                   "type": "not_found_error", "param": None, "code": None}},
        "try pulling it first",
    ),
    "llama.cpp": (
        400,
        {"error": {"code": 400, "message": "the request exceeds the available context size, try "
                   "increasing it", "type": "exceed_context_size_error", "n_ctx": 4096}},
        "exceeds the available context size",
    ),
    "LM Studio": (
        404,
        {"error": {"message": "Model not found: qwen/qwen3-8b", "type": "invalid_request_error",
                   "param": "model", "code": "model_not_found"}},
        "Model not found",
    ),
    "TGI": (
        422,
        b"Failed to deserialize the JSON body into the target type: response_format: missing field "
        b"`value` at line 1 column 400",
        "(status 422)",
    ),
    "Azure OpenAI": (
        404,
        {"error": {"code": "DeploymentNotFound",
                   "message": "The API deployment for this resource does not exist."}},
        "deployment for this resource does not exist",
    ),
}  # fmt: skip
"""Status, body, and what the message of the check must say."""


def read_commands() -> dict[str, list[list[str]]]:
    """Return the options of each `raypipe run` of the page, by heading."""
    commands: dict[str, list[list[str]]] = {}
    for section in re.split(r"^## ", PAGE.read_text(), flags=re.MULTILINE)[1:]:
        lines = re.findall(r"^raypipe run (.+)$", section, re.MULTILINE)
        if lines:
            commands[section.splitlines()[0]] = [shlex.split(line) for line in lines]
    return commands


COMMANDS = read_commands()


class ReplayServer(ThreadingHTTPServer):
    """Answers each request with the same status and body, and keeps the requests."""

    status, body = 200, b"{}"
    requests: list[tuple[str, dict[str, Any], str]]

    def replay(self, body: Any, status: int = 200) -> None:
        self.status, self.requests = status, []
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()


@pytest.fixture(scope="module")
def server() -> Iterator[ReplayServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            replay.requests.append((self.path, sent, self.headers["Authorization"]))
            self.send_response(replay.status)
            is_json = replay.body.startswith(b"{")
            kind = "application/json" if is_json else "text/plain; charset=utf-8"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(replay.body)))
            self.end_headers()
            self.wfile.write(replay.body)

        def log_message(self, *_: object) -> None: ...

    replay = ReplayServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=replay.serve_forever, args=(0.01,), daemon=True).start()
    yield replay
    replay.shutdown()
    replay.server_close()


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    clear_environment(monkeypatch)
    monkeypatch.setenv("OPENAI_API_KEY", "a-key")


def build(part: str, options: list[str], server: ReplayServer) -> tuple[Any, str]:
    """Return the part of a command, with the URL of the server, and the path of its own URL."""
    built = require_part(compose_command("run", *accept_text("run", options)), part)
    path = re.sub(r"^https?://[^/]+", "", built.model.base_url).rstrip("/")
    url = f"http://127.0.0.1:{server.server_port}{path}"
    return replace(built, model=replace(built.model, base_url=url)), path


def test_the_page_has_every_server() -> None:
    assert tuple(COMMANDS) == SERVERS
    for commands in COMMANDS.values():
        assert [command[0] for command in commands] == ["summarizer=openai", "embedder=openai"]


@pytest.mark.parametrize("name", SERVERS)
def test_a_documented_chat_command(server: ReplayServer, name: str) -> None:
    summarizer, path = build("summarizer", COMMANDS[name][0], server)
    server.replay(CHATS[name])
    answer = summarizer.model.call(QUESTION)
    assert (answer.text, answer.stop_reason) == (TEXT, "end")
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (33, 24)
    [(called, sent, authorization)] = server.requests
    assert (called, authorization) == (f"{path}/chat/completions", "Bearer a-key")
    assert sent["model"] == summarizer.model_id
    assert sent["max_tokens"] == 90
    assert ("response_format" in sent) == (name != "TGI")
    assert summarizer.plan_calls(book_with_chapters(400, 400)), "the sizes fit the window"


@pytest.mark.parametrize("name", SERVERS)
def test_a_documented_embedding_command(server: ReplayServer, name: str) -> None:
    embedder, path = build("embedder", COMMANDS[name][1], server)
    vector = [0.5] * embedder.dimension
    shape = json.loads(json.dumps(EMBEDDINGS[name]).replace(json.dumps(VECTOR), json.dumps(vector)))
    server.replay(shape)
    vectors = embedder.embed(["A keeper keeps."])
    assert vectors.shape == (1, embedder.dimension)
    assert vectors[0] @ vectors[0] == pytest.approx(1.0, abs=1e-5)
    [(called, sent, _)] = server.requests
    assert called == f"{path}/embeddings"
    assert sent["input"] == [f"{embedder.model.document_prefix}A keeper keeps."]
    assert sent["encoding_format"] == "float"


@pytest.mark.parametrize("name", SERVERS)
def test_the_check_says_what_the_server_says(server: ReplayServer, name: str) -> None:
    status, body, expected = REFUSALS[name]
    summarizer, _ = build("summarizer", COMMANDS[name][0], server)
    server.replay(body, status)
    with pytest.raises(SetupError) as caught:
        summarizer.model.check()
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_prompt_that_azure_filters_fails_one_book(server: ReplayServer) -> None:
    summarizer, _ = build("summarizer", COMMANDS["Azure OpenAI"][0], server)
    message = "The response was filtered due to the prompt triggering Azure OpenAI's policy."
    error = {"message": message, "type": None, "param": "prompt", "code": "content_filter"}
    server.replay({"error": {**error, "status": 400}}, 400)
    with pytest.raises(ModelError) as caught:
        summarizer.model.call(QUESTION)
    assert (caught.value.code, caught.value.status) == ("content_filter", 400)
