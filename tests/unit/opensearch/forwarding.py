"""Serve in front of another server, and forward, change or refuse each request."""

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
    """A response."""

    status: int
    body: bytes
    kind: str = "application/json"


class Forwarding(BaseHTTPRequestHandler):
    """Forward every request; subclasses override `respond`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each body waits 40 ms for the headers' acknowledgment
    node: str  # URL of the other server

    def respond(self, body: bytes) -> Answer | None:
        """Return the response to a request; None to cut the connection."""
        return self.forward(body)

    def forward(self, body: bytes) -> Answer:
        """Return the other server's response."""
        url = urlsplit(self.node)
        client = http.client.HTTPConnection(url.hostname or "", url.port, timeout=120)
        headers = {
            name: value
            for name, value in self.headers.items()
            if name.lower() in ("content-type", "content-encoding")
        }
        client.request(self.command, self.path, body, headers)
        response = client.getresponse()
        data = response.read()
        client.close()
        return Answer(response.status, data, response.getheader("content-type", ""))

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
        """Log nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log nothing about clients that disconnect and connections that are cut."""


@contextmanager
def serving(
    handler: type[Forwarding], node: str, context: ssl.SSLContext | None = None
) -> Iterator[int]:
    """Serve in front of a node; yield the port.

    Args:
        handler: Handles requests.
        node: URL of the node.
        context: Certificate for HTTPS; None for HTTP.
    """
    server = _Server(("127.0.0.1", 0), type("Handler", (handler,), {"node": node}))
    if context is not None:
        # The handshake runs in the handling thread, so that a hanging one blocks no other client.
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
