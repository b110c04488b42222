"""HTTP/1.1 on asyncio, as much of it as API clients speak: keep-alive and Content-Length."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import cast

log = logging.getLogger(__name__)

LARGEST_BODY = 64 * 2**20
_LARGEST_HEAD = 64 * 2**10


@dataclass(frozen=True)
class Request:
    """A request; header names are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Response:
    """What is sent back.

    Args:
        status: HTTP status.
        body: The body.
        headers: Beside Content-Length and Content-Type.
        close: Close the connection instead of sending anything.
        sent: Called with whether the client was still there when it was sent.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    close: bool = False
    sent: Callable[[bool], None] | None = None

    def encoded(self) -> bytes:
        """Return status line, headers and body."""
        head = [f"HTTP/1.1 {self.status} {_phrase(self.status)}"]
        said = {"Content-Type": "application/json", **self.headers}
        head += [f"{name}: {value}" for name, value in said.items()]
        head += [f"Content-Length: {len(self.body)}", "", ""]
        return "\r\n".join(head).encode("latin-1", "replace") + self.body


Handler = Callable[[Request], Awaitable[Response]]


class Connection(asyncio.Protocol):
    """One connection: requests one after another, as they come.

    Args:
        handler: Answers a request; must not raise.
        connections: Where open connections are noted, so that the server can close them.
    """

    def __init__(self, handler: Handler, connections: set[Connection]) -> None:
        self._handler = handler
        self._connections = connections
        self._buffer = bytearray()
        self._task: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._continued = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the connection."""
        self._transport = cast(asyncio.Transport, transport)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it; what is being worked on for it goes on, as with a real service."""
        self._transport = None
        self._connections.discard(self)

    def close(self) -> None:
        """Close without an answer."""
        if self._task:
            self._task.cancel()
        if self._transport:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take in bytes, and begin a request as soon as it is whole."""
        self._buffer += data
        if self._task is None:
            self._next()

    def _next(self) -> None:
        try:
            request = self._whole()
        except ValueError as error:
            self._write(Response(400, str(error).encode(), {"Connection": "close"}))
            if self._transport:
                self._transport.close()
            return
        if request is not None:
            self._task = asyncio.get_running_loop().create_task(self._serve(request))

    def _whole(self) -> Request | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _LARGEST_HEAD:
                raise ValueError("the head of the request is too large")
            return None
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        length = _length(headers)
        if len(self._buffer) < end + 4 + length:
            self._expect(headers)
            return None
        body = bytes(self._buffer[end + 4 : end + 4 + length])
        del self._buffer[: end + 4 + length]
        self._continued = False
        method, target, *_ = [*first.split(" "), "", ""]
        return Request(method, target, headers, body)

    def _expect(self, headers: Mapping[str, str]) -> None:
        if headers.get("expect", "").lower() == "100-continue" and not self._continued:
            self._continued = True
            if self._transport:
                self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    async def _serve(self, request: Request) -> None:
        response = await self._handler(request)
        there = self._write(response)
        if response.sent:
            response.sent(there)
        self._task = None
        if self._transport is None:
            return
        if request.headers.get("connection", "").lower() == "close":
            self._transport.close()
        elif self._buffer:
            self._next()

    def _write(self, response: Response) -> bool:
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        if response.close:
            transport.abort()
            return True
        transport.write(response.encoded())
        return True


def _length(headers: Mapping[str, str]) -> int:
    if "transfer-encoding" in headers:
        raise ValueError("chunked requests are not understood; send Content-Length")
    text = headers.get("content-length", "0")
    if not text.isdecimal() or int(text) > LARGEST_BODY:
        raise ValueError(f"Content-Length {text[:20]} is no number up to {LARGEST_BODY}")
    return int(text)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
