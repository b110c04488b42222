"""A model server whose every answer a function decides, and runs of the real command against it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from processes import environment
from simulated import CREDENTIALS

from raypipe.ledger.failure_log import FailureLog
from raypipe.state.local import LocalState

PROTOCOLS = ("openai", "bedrock")
FIELDS = {
    "title": "The Lamp", "author": "", "genre": "novel", "setting": "an island", "period": "",
    "plot": "A keeper keeps a lamp.", "themes": ["duty"], "characters": ["Ada: the keeper"],
    "keywords": ["lamp"],
}  # fmt: skip
SUMMARY = (
    "Two old friends keep the lighthouse of a small island and quarrel over the price of a boat. "
    "When winter storms close the harbor, they share one lamp, one stove and the last bread."
)
"""Some 35 words: enough for a long book, and not too many for a short one."""
_TEXT = re.compile(r"<book_text>\n(.*)\n</book_text>", re.S)


@dataclass(frozen=True)
class Call:
    """A request to the server.

    Args:
        protocol: `openai` or `bedrock`.
        body: Its JSON.
        prompt: The user's text.
        max_tokens: Maximum tokens of the answer.
    """

    protocol: str
    body: dict[str, Any]
    prompt: str
    max_tokens: int

    @property
    def is_structured(self) -> bool:
        """Whether the prompt asks for JSON."""
        return "JSON object" in self.prompt

    @property
    def text(self) -> str:
        """The material between the tags."""
        found = _TEXT.search(self.prompt)
        return found[1] if found else ""


Rule = Callable[[Call], tuple[int, Any]]
"""Takes a call; returns the status and the JSON, or the bytes, of the response."""


@dataclass
class StubServer:
    """A running server.

    Args:
        url: Its URL.
        calls: The calls so far.
    """

    url: str = ""
    calls: list[Call] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, here: Path, protocol: str, books: Path, *more: str) -> dict[str, Any]:
        """Run `raypipe run executor=local` over a folder of books; return its record.

        Raises:
            RuntimeError: The command ended otherwise than with books, all done or some failed.
        """
        here.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable, "-m", "raypipe", "run", "executor=local", "storage=local",
            f"storage.path={books}", f"state.uri={here / 'state'}", f"summarizer={protocol}",
            "embedder=hash", "opensearch=none", "quota=none", "output=json",
            "breaker.max_share=1.0", *more,
        ]  # fmt: skip
        env = environment(
            **CREDENTIALS,
            AWS_ENDPOINT_URL_BEDROCK_RUNTIME=self.url,
            OPENAI_BASE_URL=f"{self.url}/v1",
            NO_PROXY="127.0.0.1",
        )
        done = subprocess.run(command, cwd=here, env=env, capture_output=True, text=True)
        if done.returncode not in (0, 3):
            said = done.stdout[-2000:] + done.stderr[-2000:]
            raise RuntimeError(f"exit {done.returncode}: {said}")
        record: dict[str, Any] = json.loads(done.stdout)
        return record


@contextmanager
def serving(rule: Rule) -> Iterator[StubServer]:
    """Start a server with a rule; it ends with the block."""
    state = StubServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._send(200, {"object": "list", "data": []})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if "count-tokens" in self.path:
                self._send(200, {"inputTokens": 5})
                return
            call = read_call(body)
            with state.lock:
                state.calls.append(call)
            self._send(*rule(call))

        def _send(self, status: int, answer: Any) -> None:
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None: ...

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 256

    http_server = Server(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{http_server.server_port}"
    threading.Thread(target=http_server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield state
    finally:
        http_server.shutdown()
        http_server.server_close()


def read_call(body: dict[str, Any]) -> Call:
    """Return the call in the body of a request."""
    if "inferenceConfig" in body:
        prompt = body["messages"][-1]["content"][0]["text"]
        return Call("bedrock", body, prompt, body["inferenceConfig"]["maxTokens"])
    return Call("openai", body, body["messages"][-1]["content"], body["max_tokens"])


def good_text(call: Call, summary: str) -> str:
    """Return the answer that a call asks for, with this summary."""
    return json.dumps({**FIELDS, "summary": summary}) if call.is_structured else summary


def usage_of(call: Call, output: int) -> dict[str, int]:
    """Return the usage of an answer in the protocol of the call."""
    inputs = len(call.prompt) // 4
    names = ("inputTokens", "outputTokens", "totalTokens")
    if call.protocol == "openai":
        names = ("prompt_tokens", "completion_tokens", "total_tokens")
    return dict(zip(names, (inputs, output, inputs + output), strict=True))


def completion(call: Call, message: Any, reason: Any = "stop", output: int = 60) -> dict[str, Any]:
    """Return a chat completion of OpenAI."""
    if isinstance(message, str):
        message = {"role": "assistant", "content": message}
    choice = {"index": 0, "message": message, "finish_reason": reason}
    return {"id": "1", "object": "chat.completion", "choices": [choice],
            "usage": usage_of(call, output)}  # fmt: skip


def converse(
    call: Call, content: Any, reason: Any = "end_turn", output: int = 60
) -> dict[str, Any]:
    """Return a response of Converse."""
    if isinstance(content, str):
        content = [{"text": content}]
    message = {"role": "assistant", "content": content}
    return {"output": {"message": message}, "stopReason": reason, "metrics": {"latencyMs": 1},
            "usage": usage_of(call, output)}  # fmt: skip


def failures(here: Path) -> dict[str, dict[str, Any]]:
    """Return the failures of a run by key."""
    rows = FailureLog(LocalState(str(here / "state"))).read_latest().to_pylist()
    return {row["key"]: row for row in rows}
