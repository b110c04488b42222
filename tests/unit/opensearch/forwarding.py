"""A server before another one, which looks at each request and passes on what it lets through."""

from __future__ import annotations

import http.client
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import urlsplit


class Answer(NamedTuple):
    """What a server answers."""

    status: int
    body: bytes
    kind: str = "application/json"


class Forwarding(BaseHTTPRequestHandler):
    """Passes on everything; `respond` is what others change."""

    protocol_version = "HTTP/1.1"
    node: str  # URL of the server behind

    def respond(self, body: bytes) -> Answer | None:
        """Return the answer to a request; None = the connection is cut."""
        return self.forward(body)

    def forward(self, body: bytes) -> Answer:
        """Return what the server behind answers."""
        behind = urlsplit(self.node)
        to = http.client.HTTPConnection(behind.hostname or "", behind.port, timeout=120)
        kept = {
            name: value
            for name, value in self.headers.items()
            if name.lower() in ("content-type", "content-encoding")
        }
        to.request(self.command, self.path, body, kept)
        answer = to.getresponse()
        data = answer.read()
        to.close()
        return Answer(answer.status, data, answer.getheader("content-type", ""))

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        answer = self.respond(body)
        if answer is None:
            self.close_connection = True
            self.connection.close()
            return
        self.send_response(answer.status)
        self.send_header("content-type", answer.kind)
        self.send_header("content-length", str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    do_POST = do_PUT = do_DELETE = do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that go away, and of connections that are cut."""


@contextmanager
def serving(
    handler: type[Forwarding], node: str, context: ssl.SSLContext | None = None
) -> Iterator[int]:
    """Serve before a node, and yield the port.

    Args:
        handler: What it does.
        node: URL of the server behind.
        context: For HTTPS; None = HTTP.
    """
    server = _Server(("127.0.0.1", 0), type("Handler", (handler,), {"node": node}))
    if context is not None:
        # The handshake is the handling thread's work: one that hangs hinders nobody.
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
