"""An S3 server in this process that counts requests, fails, and changes objects as asked."""

from __future__ import annotations

import random
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

ACCOUNT = "123456789012"
PAGE_KEYS = 10
"""Keys of a page while listings are truncated."""
Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


@dataclass
class CountingS3Server:
    """moto's WSGI application behind a counter.

    Args:
        app: The application of moto.
        url: Where it is served.
        gets: Keys of the objects that were read, one for each GET.
        listings: How many listing requests there were.
        requests: How many requests there were, by method and by the key, or the listed prefix.
        replace_on_read: New content of an object, by bucket and key, from its next GET on.
        truncate_listing: How a listing ends too early: `no token`, `no page` or `half`; empty for
            whole listings.
        failure_rate: Share of the requests that get a 503.
        rng: Decides which requests fail.
    """

    app: Wsgi
    url: str = ""
    gets: list[str] = field(default_factory=list)
    listings: int = 0
    requests: Counter[tuple[str, str]] = field(default_factory=Counter)
    replace_on_read: dict[tuple[str, str], bytes] = field(default_factory=dict)
    truncate_listing: str = ""
    failure_rate: float = 0.0
    rng: random.Random = field(default_factory=lambda: random.Random(1))

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if self.rng.random() < self.failure_rate:
            start_response("503 Slow Down", [("Content-Length", "0")])
            return []
        bucket, _, key = unquote(environ["PATH_INFO"]).strip("/").partition("/")
        listed = parse_qs(environ["QUERY_STRING"]).get("prefix", [""])[0]
        method = environ["REQUEST_METHOD"]
        self.requests[(method if key or method != "GET" else "LIST", key or listed)] += 1
        if environ["REQUEST_METHOD"] == "GET" and key:
            self.gets.append(key)
            if body := self.replace_on_read.pop((bucket, key), None):
                self.put_object(bucket, key, body)
        elif environ["REQUEST_METHOD"] == "GET":
            self.listings += 1
            if self.truncate_listing and bucket:
                return self._list_truncated(environ, start_response)
        return self.app(environ, start_response)

    def _list_truncated(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer the first page of a listing and fail for the second."""
        query = environ["QUERY_STRING"]
        if "continuation-token" in query:
            start_response("500 Internal Server Error", [("Content-Length", "0")])
            return []
        paged = {**environ, "QUERY_STRING": f"{query}&max-keys={PAGE_KEYS}"}
        page = b"".join(self.app(paged, lambda *args: None))
        if self.truncate_listing == "no token":
            page = re.sub(rb"<NextContinuationToken>.*</NextContinuationToken>", b"", page)
        elif self.truncate_listing == "half":
            page = page[: len(page) // 2]
        start_response("200 OK", [("Content-Length", str(len(page)))])
        return [page]

    def reset(self) -> None:
        """Delete all buckets, counters and faults."""
        _backend().reset()
        self.gets.clear()
        self.listings = 0
        self.requests.clear()
        self.replace_on_read.clear()
        self.truncate_listing, self.failure_rate = "", 0.0
        self.rng.seed(1)

    def create_bucket(self, name: str) -> None:
        _backend().create_bucket(name, "us-east-1")

    def put_object(self, bucket: str, key: str, body: bytes, *, acl: str = "public-read") -> None:
        from moto.s3.models import get_canned_acl

        put_object_directly(bucket, key, body)
        _backend().put_object_acl(bucket, key, get_canned_acl(acl))

    def delete_object(self, bucket: str, key: str) -> None:
        _backend().delete_object(bucket, key)

    def objects(self, bucket: str) -> dict[str, bytes]:
        """Return the content of every object of a bucket by its key."""
        keys = _backend().buckets[bucket].keys
        return {key: keys[key].value for key in keys}

    def options(self, bucket: str) -> list[str]:
        """Return the options of a run that reads a bucket of this server."""
        return [
            "storage=s3",
            f"storage.bucket={bucket}",
            f"storage.endpoint_url={self.url}",
            "storage.anonymous=true",
        ]


def put_object_directly(bucket: str, key: str, body: bytes) -> None:
    """Put an object without a request: thousands of them take a second."""
    _backend().put_object(bucket, key, body)


def _backend() -> Any:
    from moto.s3.models import s3_backends

    return s3_backends[ACCOUNT]["aws"]


@contextmanager
def serve_s3() -> Iterator[CountingS3Server]:
    """Serve S3 on a free port of this process."""
    from moto.moto_server.werkzeug_app import MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    class QuietHandler(MotoRequestHandler):
        def log(self, type: str, message: str, *args: Any) -> None:
            """Discard the access log: thousands of requests would hide a test's own output."""

    app = CountingS3Server(create_backend_app("s3"))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=QuietHandler)
    app.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield app
    finally:
        server.shutdown()
        thread.join()
