"""Run the process of the embedded S3: moto's server on the loopback interface.

Arguments: PORTS_FILE PREFERRED_PORT. Once the server listens, it writes its address to
PORTS_FILE.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from raypipe.embedded import ports


def main() -> None:
    """Serve until the guardian stops the process."""
    from moto.moto_server.werkzeug_app import MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    ports_file, preferred = Path(sys.argv[1]), int(sys.argv[2])
    # One log line a request would take gigabytes for a million books.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    port = preferred if ports.is_free(preferred) else 0
    server = make_server(
        ports.LOOPBACK,
        port,
        create_backend_app("s3"),
        threaded=True,
        request_handler=MotoRequestHandler,
    )
    temporary = ports_file.with_name(f".{ports_file.name}")
    temporary.write_text(f"{ports.LOOPBACK}:{server.server_port}\n")
    temporary.replace(ports_file)
    server.serve_forever()


if __name__ == "__main__":
    main()
