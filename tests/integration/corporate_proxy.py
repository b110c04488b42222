"""A proxy as in a company: it asks for a login, and shows certificates of a private authority."""

from __future__ import annotations

import asyncio
import base64
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit


@dataclass
class CorporateProxy:
    """A proxy on loopback; it knows host names that no name server has.

    Args:
        certificate: File with the certificate of all servers, and its key.
        servers: URLs of plain HTTP servers on this machine, by host name.
        login: `user:password` that it asks for; empty for none.
        url: Where it listens.
        targets: `host:port` of each tunnel, or URL of each plain request.
    """

    certificate: Path
    servers: Mapping[str, str]
    login: str = ""
    url: str = ""
    targets: list[str] = field(default_factory=list)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await self._serve(reader, writer)
        writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        method, target, _ = head.partition("\r\n")[0].split(" ")
        self.targets.append(target)
        expected = f"basic {base64.b64encode(self.login.encode()).decode()}"
        if self.login and expected.lower() not in head.lower():
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        start = b""
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await writer.drain()
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate)
            await writer.start_tls(context)
            host = target.partition(":")[0]
        else:
            url = urlsplit(target)
            host = url.hostname or ""
            path = url.path or "/"
            start = head.replace(f"{method} {target}", f"{method} {path}", 1).encode("latin-1")
        server = urlsplit(self.servers[host])
        its_reader, its_writer = await asyncio.open_connection(server.hostname, server.port)
        its_writer.write(start)
        with suppress(OSError):
            await asyncio.gather(_copy(reader, its_writer), _copy(its_reader, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


@contextmanager
def serve_proxy(proxy: CorporateProxy) -> Iterator[None]:
    """Serve a proxy on a free port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def listen() -> asyncio.Server:
        return await asyncio.start_server(proxy.handle, "127.0.0.1", 0)

    async def end() -> None:
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    server = asyncio.run_coroutine_threadsafe(listen(), loop).result()
    proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
