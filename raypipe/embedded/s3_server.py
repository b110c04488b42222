"""Run the process of the embedded S3: moto's server on a loopback address.

Argument: PORTS_FILE. Once the server listens, it writes its address to PORTS_FILE.
"""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from werkzeug.serving import ThreadedWSGIServer

from raypipe.core.net import is_sent_for_web_page
from raypipe.embedded import guardian, peers, ports

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class OwnUserServer(ThreadedWSGIServer):
    """A server that closes the connections of other users of this machine."""

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether a new connection may send requests."""
        return isinstance(request, socket.socket) and peers.is_own_process(request)


def refuse_web_pages(app: WSGIApplication) -> WSGIApplication:
    """Wrap an application so that it answers no request that a browser sends for a web page."""

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        names = ("HTTP_HOST", "HTTP_ORIGIN", "HTTP_SEC_FETCH_SITE")
        if is_sent_for_web_page(*(str(environ.get(name, "")) for name in names)):
            start_response("403 Forbidden", [("Content-Type", "text/plain")])
            return [b"raypipe: this server does not answer web pages\n"]
        return app(environ, start_response)

    return answer


def main() -> None:
    """Serve until the guardian stops the process."""
    from moto.moto_server.werkzeug_app import MotoRequestHandler, create_backend_app

    # One log line a request would take gigabytes for a million books.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    address = ports.choose_address()
    app = refuse_web_pages(create_backend_app("s3"))
    server = OwnUserServer(address, 0, app, MotoRequestHandler)
    guardian.write_private(Path(sys.argv[1]), f"{address}:{server.server_port}\n")
    server.serve_forever()


if __name__ == "__main__":
    main()
