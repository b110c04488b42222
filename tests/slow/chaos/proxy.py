"""A proxy between raypipe and OpenSearch: its target may move, and it may delay, drop and cut."""

from __future__ import annotations

import random
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from urllib.parse import urlsplit

_CHUNK = 1 << 16


@dataclass
class Trouble:
    """Shares of what passes through that goes wrong.

    Args:
        delay: Chunks that come half a second late.
        drop: Answers that never come: the connection ends before them.
        cut: Answers that end in the middle.
    """

    delay: float = 0.0
    drop: float = 0.0
    cut: float = 0.0


@dataclass
class Proxy:
    """Passes bytes on; a context that ends with all its connections."""

    target: str
    chance: random.Random
    trouble: Trouble = field(default_factory=Trouble)

    def __enter__(self) -> Proxy:
        self._server = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self._open = True
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open = False
        self._server.close()

    def _accept(self) -> None:
        while self._open:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        parts = urlsplit(self.target)
        try:
            server = socket.create_connection((parts.hostname or "", parts.port or 80), timeout=5)
        except OSError:
            client.close()  # as a machine that is not there would: nothing is said
            return
        server.settimeout(None)
        back = threading.Thread(target=self._pass, args=(server, client, True), daemon=True)
        back.start()
        self._pass(client, server, False)
        back.join()
        client.close()
        server.close()

    def _pass(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        with suppress(OSError):
            while data := source.recv(_CHUNK):
                if answers and not self._lets_through(data, sink):
                    break
                sink.sendall(data)
        for one in (source, sink):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _lets_through(self, data: bytes, sink: socket.socket) -> bool:
        trouble = self.trouble
        with self._lock:
            drawn = self.chance.random()
        if drawn < trouble.drop:
            return False
        if drawn < trouble.drop + trouble.cut:
            sink.sendall(data[: len(data) // 2])
            return False
        if drawn < trouble.drop + trouble.cut + trouble.delay:
            time.sleep(0.5)
        return True
