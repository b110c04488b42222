"""An S3 server in this process that counts what it is asked for and can change a book mid-way."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import pytest

ACCOUNT = "123456789012"
Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


@dataclass
class S3Here:
    """moto's own WSGI app behind a counter."""

    app: Wsgi
    gets: list[str] = field(default_factory=list)  # keys of objects, one for each GET
    listings: int = 0
    changing: dict[tuple[str, str], bytes] = field(default_factory=dict)
    url: str = ""
    cut: str = ""  # how a listing ends too soon: `no token`, `no page`, `half`
    unwell: float = 0.0  # share of requests that are answered 503
    chance: random.Random = field(default_factory=lambda: random.Random(1))

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if self.chance.random() < self.unwell:
            start_response("503 Slow Down", [("Content-Length", "0")])
            return []
        bucket, _, key = unquote(environ["PATH_INFO"]).strip("/").partition("/")
        if environ["REQUEST_METHOD"] == "GET" and key:
            self.gets.append(key)
            if body := self.changing.pop((bucket, key), None):
                self.put(bucket, key, body)
        elif environ["REQUEST_METHOD"] == "GET":
            self.listings += 1
            if self.cut and bucket:
                return self._cut(environ, start_response)
        return self.app(environ, start_response)

    def _cut(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer a listing whose second page never comes."""
        if "continuation-token" in environ["QUERY_STRING"]:
            start_response("500 Internal Server Error", [("Content-Length", "0")])
            return []
        page = b"".join(self.app({**environ, "QUERY_STRING": _paged(environ)}, lambda *args: None))
        if self.cut == "no token":
            page = re.sub(rb"<NextContinuationToken>.*</NextContinuationToken>", b"", page)
        elif self.cut == "half":
            page = page[: len(page) // 2]
        start_response("200 OK", [("Content-Length", str(len(page)))])
        return [page]

    def bucket(self, name: str) -> None:
        _backend().create_bucket(name, "us-east-1")

    def put(self, bucket: str, key: str, body: bytes, *, acl: str = "public-read") -> None:
        from moto.s3.models import get_canned_acl

        put_past_http(bucket, key, body)
        _backend().put_object_acl(bucket, key, get_canned_acl(acl))

    def delete(self, bucket: str, key: str) -> None:
        _backend().delete_object(bucket, key)

    def delete_bucket(self, name: str) -> None:
        """Delete a bucket with its objects, and forget which were read."""
        for key in self.objects(name):
            self.delete(name, key)
        _backend().delete_bucket(name)
        self.gets.clear()

    def objects(self, bucket: str) -> dict[str, bytes]:
        """Return every object of a bucket by its key."""
        keys = _backend().buckets[bucket].keys
        return {key: keys[key].value for key in keys}

    def options(self, bucket: str) -> list[str]:
        """Return the options that name a bucket here."""
        return [
            "storage=s3",
            f"storage.bucket={bucket}",
            f"storage.endpoint_url={self.url}",
            "storage.anonymous=true",
        ]


def _paged(environ: dict[str, Any]) -> str:
    return f"{environ['QUERY_STRING']}&max-keys=10"


def put_past_http(bucket: str, key: str, body: bytes) -> None:
    """Put an object into any moto of this process: thousands of them take a second."""
    _backend().put_object(bucket, key, body)


def _backend() -> Any:
    from moto.s3.models import s3_backends

    return s3_backends[ACCOUNT]["aws"]


@contextmanager
def serve_s3() -> Iterator[S3Here]:
    """Yield an S3 server that listens on a free port of this process."""
    from moto.moto_server.werkzeug_app import MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    class QuietHandler(MotoRequestHandler):
        def log(self, type: str, message: str, *args: Any) -> None:
            """Discard the access log: thousands of requests would hide a test's own output."""

    app = S3Here(create_backend_app("s3"))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=QuietHandler)
    app.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield app
    finally:
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Here]:
    with serve_s3() as server:
        yield server
