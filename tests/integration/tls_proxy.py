"""An HTTPS proxy in front of a server; it requires a header or a client certificate."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.unit.opensearch.forwarding import Answer, Forwarding, serving


@dataclass
class Certificates:
    """A certificate authority and the certificates it signed, as files in a folder."""

    folder: Path

    def __post_init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("An authority for tests")
        builder = self._builder(self._name, self._key.public_key())
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        builder = builder.add_extension(constraints, critical=True)
        self.authority = self.folder / "authority.pem"
        self.authority.write_bytes(_pem(builder.sign(self._key, hashes.SHA256())))

    def issue(self, name: str, *hosts: str) -> Path:
        """Return a file with a certificate for these hosts and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(_name(name), key.public_key())
        if hosts:
            names = x509.SubjectAlternativeName([_host(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        file = self.folder / f"{name}.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        file.write_bytes(_pem(builder.sign(self._key, hashes.SHA256())) + private)
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
class TlsProxy:
    """A proxy: its URL, the header it requires, and the headers it refused.

    Args:
        url: Where it is served.
        authorization: The only authorization header that it accepts; empty for any.
        refused: The authorization headers of refused requests.
    """

    url: str
    authorization: str = ""
    refused: list[str] = field(default_factory=list)


@contextmanager
def serve_tls(node: str, certificate: Path, clients: Path | None = None) -> Iterator[TlsProxy]:
    """Serve HTTPS in front of a server.

    Args:
        node: URL of the server.
        certificate: File with the certificate and its key.
        clients: The authority of the certificates that clients must show; None for no certificates.
    """
    proxy = TlsProxy("")

    class Handler(Forwarding):
        def respond(self, body: bytes) -> Answer:
            header = self.headers.get("authorization", "")
            if proxy.authorization and header != proxy.authorization:
                proxy.refused.append(header)
                return Answer(401, b'{"error": "Unauthorized"}')
            return self.forward(body)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients)
    with serving(Handler, node, context) as port:
        proxy.url = f"https://127.0.0.1:{port}"
        yield proxy


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
