"""Serve the part of HTTP/1.1 that API clients need, on asyncio: keep-alive, Content-Length."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import cast

MAX_BODY_BYTES = 64 * 2**20
_MAX_HEAD_BYTES = 64 * 2**10


@dataclass(frozen=True)
class HttpRequest:
    """A request; header names are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class HttpResponse:
    """A response.

    Args:
        status: HTTP status.
        body: The body.
        headers: Headers besides Content-Length and Content-Type.
        close: Whether to close the connection without sending anything.
        on_sent: Called after sending, with whether the client was still connected.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    close: bool = False
    on_sent: Callable[[bool], None] | None = None

    def encode(self) -> bytes:
        """Return status line, headers and body."""
        head = [f"HTTP/1.1 {self.status} {_reason_phrase(self.status)}"]
        headers = {"Content-Type": "application/json", **self.headers}
        head += [f"{name}: {value}" for name, value in headers.items()]
        head += [f"Content-Length: {len(self.body)}", "", ""]
        return "\r\n".join(head).encode("latin-1", "replace") + self.body


Handler = Callable[[HttpRequest], Awaitable[HttpResponse]]


class HttpConnection(asyncio.Protocol):
    """A connection that handles requests one after another.

    Args:
        handler: Answers a request; must not raise.
        connections: Open connections; each adds and removes itself, so the server can close all.
    """

    def __init__(self, handler: Handler, connections: set[HttpConnection]) -> None:
        self._handler = handler
        self._connections = connections
        self._buffer = bytearray()
        self._task: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._sent_continue = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register the connection."""
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Unregister the connection; a call in progress continues, as with a real service."""
        self._transport = None
        self._connections.discard(self)

    def close(self) -> None:
        """Close the connection and cancel the request in progress."""
        if self._task:
            self._task.cancel()
        if self._transport:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Buffer bytes; start to serve a request once it is complete."""
        self._buffer += data
        if self._task is None:
            self._serve_next()

    def _serve_next(self) -> None:
        try:
            request = self._take_request()
        except ValueError as error:
            self._write(HttpResponse(400, str(error).encode(), {"Connection": "close"}))
            if self._transport:
                self._transport.close()
            return
        if request is not None:
            self._task = asyncio.get_running_loop().create_task(self._serve(request))

    def _take_request(self) -> HttpRequest | None:
        """Take a request from the buffer; return None if it is not complete yet."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _MAX_HEAD_BYTES:
                raise ValueError(f"the request head is larger than {_MAX_HEAD_BYTES} bytes")
            return None
        first_line, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        length = _content_length(headers)
        if len(self._buffer) < end + 4 + length:
            self._continue_if_expected(headers)
            return None
        body = bytes(self._buffer[end + 4 : end + 4 + length])
        del self._buffer[: end + 4 + length]
        self._sent_continue = False
        method, target, *_ = [*first_line.split(" "), "", ""]
        return HttpRequest(method, target, headers, body)

    def _continue_if_expected(self, headers: Mapping[str, str]) -> None:
        if headers.get("expect", "").lower() == "100-continue" and not self._sent_continue:
            self._sent_continue = True
            if self._transport:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    async def _serve(self, request: HttpRequest) -> None:
        response = await self._handler(request)
        is_connected = self._write(response)
        if response.on_sent:
            response.on_sent(is_connected)
        self._task = None
        if self._transport is None:
            return
        if request.headers.get("connection", "").lower() == "close":
            self._transport.close()
        elif self._buffer:
            self._serve_next()

    def _write(self, response: HttpResponse) -> bool:
        """Send a response; return False if the client has disconnected."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        if response.close:
            transport.abort()
            return True
        transport.write(response.encode())
        return True


def _content_length(headers: Mapping[str, str]) -> int:
    if "transfer-encoding" in headers:
        raise ValueError("chunked requests are not supported; send Content-Length")
    text = headers.get("content-length", "0")
    if not text.isdecimal() or int(text) > MAX_BODY_BYTES:
        raise ValueError(f"Content-Length {text[:20]} is not a number up to {MAX_BODY_BYTES}")
    return int(text)


def _reason_phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
