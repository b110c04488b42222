"""Listen on a free port, and serve an app in a thread until the context ends."""

from __future__ import annotations

import errno
import logging
import socket
import threading
from types import TracebackType

import uvicorn
from starlette.types import ASGIApp

from raypipe.core.errors import OptionError

PORTS = 100
"""Ports that are tried, from the wanted port on."""
_IN_FLIGHT_S = 0.5
"""Seconds in which requests in flight may end; then they are cancelled."""
_CLOSE_S = 1.0
_MAX_HEAD = 65_536
"""Bytes of a request's first line and headers: a long description has 12 bytes a character."""


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on a port, or on the next free port.

    Args:
        host: Name or address to listen on.
        port: The first port to try; 0 for any free port.

    Raises:
        OptionError: The host is not an address of this machine, or no port is free.
    """
    last = min(port + PORTS - 1, 65_535) if port else 0
    for number in range(port, last + 1):
        try:
            return _listen(host, number)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                reason = error.strerror or error
                raise OptionError(f"host={host} port={number}: {reason}; choose others") from None
    raise OptionError(
        f"port={port}: the ports {port} to {last} are in use; choose another port, or port=0 for "
        "any free port"
    )


def _listen(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        # A port whose last server has just ended can be used again at once.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except BaseException:
        listener.close()
        raise
    return listener


def format_url(listener: socket.socket) -> str:
    """Return the URL under which a browser on this machine reaches a socket."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared only
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class PageServer:
    """Serves an app in a thread, inside a context.

    Args:
        app: The app.
        listener: The socket to accept connections from; it is closed at the end.
    """

    def __init__(self, app: ASGIApp, listener: socket.socket) -> None:
        # Signals are the command's; requests are private, so they are not logged.
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=1,
            h11_max_incomplete_event_size=_MAX_HEAD,
            ws="none",
        )
        logging.getLogger("uvicorn").setLevel(logging.CRITICAL)  # `create_app` logs errors
        self._server = uvicorn.Server(config)
        self._listener = listener
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, name="page", daemon=True
        )

    @property
    def is_alive(self) -> bool:
        """Whether the server runs."""
        return self._thread.is_alive()

    def __enter__(self) -> PageServer:
        """Start; connections before this moment wait in the socket."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End. Requests in flight have a short time to end; a thread that hangs is left."""
        self._server.should_exit = True
        self._thread.join(_IN_FLIGHT_S)
        self._server.force_exit = True
        self._thread.join(_CLOSE_S)
        self._listener.close()
