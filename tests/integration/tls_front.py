"""HTTPS before a server, that lets in who has the right header or certificate."""

from __future__ import annotations

import datetime
import http.client
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class Certificates:
    """An authority, and what it signed, as files in a folder."""

    folder: Path

    def __post_init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("An authority for tests")
        made = self._builder(self._name, self._key.public_key())
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.authority = self.folder / "authority.pem"
        self.authority.write_bytes(_pem(made.sign(self._key, hashes.SHA256())))

    def issue(self, name: str, *hosts: str) -> Path:
        """Return a file with a certificate for these hosts and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._builder(_name(name), key.public_key())
        if hosts:
            made = made.add_extension(
                x509.SubjectAlternativeName([_host(one) for one in hosts]), critical=False
            )
        file = self.folder / f"{name}.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        file.write_bytes(_pem(made.sign(self._key, hashes.SHA256())) + private)
        return file

    def _builder(self, subject: x509.Name, key: Any) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )


@dataclass
class Front:
    """What it lets in, and how often it refused."""

    url: str
    authorization: str = ""  # the header that is let in; empty = any
    refused: list[str] = field(default_factory=list)


@contextmanager
def front(node: str, certificate: Path, clients: Path | None = None) -> Iterator[Front]:
    """Yield HTTPS before a server.

    Args:
        node: URL of the server.
        certificate: File with the certificate and its key.
        clients: The authority whose certificates clients must show; None = they need none.
    """
    behind = urlsplit(node)
    made = Front("")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            shown = self.headers.get("authorization", "")
            if made.authorization and shown != made.authorization:
                made.refused.append(shown)
                self._answer(401, b'{"error": "Unauthorized"}', "application/json")
                return
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
            self._answer(answer.status, data, answer.getheader("content-type", ""))

        do_POST = do_PUT = do_DELETE = do_HEAD = do_GET

        def _answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Say nothing of clients that go away at the handshake."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients)
    server = Server(("127.0.0.1", 0), Handler)
    # The handshake is the handling thread's work: one that hangs hinders nobody.
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    made.url = f"https://127.0.0.1:{server.server_port}"
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
