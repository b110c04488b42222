from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from raypipe.core.s3 import S3Connection, parse_timestamp
from raypipe.core.s3_responses import S3ResponseError
from raypipe.state.s3 import S3State
from raypipe.state.store import StateError


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-07T08:05:11.000Z",  # the format of listings
        "2026-11-07T08:05:11Z",
        "2026-11-07T08:05:11.123456Z",
        "Sat, 07 Nov 2026 08:05:11 GMT",  # the format of headers
        "2026-11-07T10:05:11+02:00",
        "2026-11-07T08:05:11.1234567Z",  # more digits than Python supports
        "1794038711",
        1794038711,
    ],
)
def test_timestamps_are_parsed_as_by_botocore(text: str | int) -> None:
    from botocore import utils

    parse: Any = utils.parse_timestamp
    timestamp = parse_timestamp(text)
    assert timestamp == parse(text)
    assert timestamp.tzinfo is not None


def test_the_time_zone_is_kept() -> None:
    assert parse_timestamp("2026-11-07T08:05:11.000Z") == datetime(
        2026, 11, 7, 8, 5, 11, tzinfo=UTC
    )
    east = timezone(timedelta(hours=2))
    assert parse_timestamp("2026-11-07T10:05:11+02:00") == datetime(
        2026, 11, 7, 10, 5, 11, tzinfo=east
    )


def test_an_invalid_timestamp_is_an_error() -> None:
    for text in ("tomorrow", "2026-99-99T00:00:00Z"):
        with pytest.raises(ValueError, match="Invalid timestamp"):
            parse_timestamp(text)


class OddServer(ThreadingHTTPServer):
    """Answers each request with the same status, headers and body."""

    answer: tuple[int, dict[str, str], bytes] = (200, {}, b"")


@pytest.fixture
def server() -> Iterator[OddServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = http_server.answer
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    http_server = OddServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http_server.serve_forever, args=(0.01,), daemon=True).start()
    yield http_server
    http_server.shutdown()
    http_server.server_close()


ENTRY = "<Key>a</Key><ETag>e</ETag>"


@pytest.mark.parametrize(
    ("operation", "headers", "body"),
    [
        ("get_object", {"ETag": '"e"', "Last-Modified": "soon"}, b"x"),
        ("get_object", {"ETag": '"e"', "Content-Length": "many"}, b"x"),
        ("get_object", {"ETag": '"e"', "x-amz-missing-meta": "1e999"}, b"x"),
        *(
            ("list_objects_v2", {}, f"<ListBucketResult>{text}</ListBucketResult>".encode())
            for text in (
                f"<Contents>{ENTRY}<Size>many</Size></Contents>",
                f"<Contents>{ENTRY}<Size>1e999</Size></Contents>",
                f"<Contents>{ENTRY}<LastModified>soon</LastModified></Contents>",
                f"<Contents>{ENTRY}<LastModified>9e99</LastModified></Contents>",
                "<KeyCount>nan</KeyCount>",
            )
        ),
    ],
)
def test_an_unreadable_response_is_an_error_of_s3(
    server: OddServer, operation: str, headers: dict[str, str], body: bytes
) -> None:
    server.answer = 200, headers, body
    url = f"http://127.0.0.1:{server.server_port}"
    client = S3Connection(endpoint_url=url, anonymous=True).client(attempts=1)
    arguments = {"Key": "a"} if operation == "get_object" else {}
    with pytest.raises(S3ResponseError, match="unreadable"):
        getattr(client, operation)(Bucket="books", **arguments)


def test_a_state_behind_an_unreadable_server_is_one_line(
    server: OddServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raypipe.core.retry.full_jitter", lambda *_, **__: 0.0)
    server.answer = 200, {"ETag": '"e"', "Last-Modified": "soon"}, b"x"
    url = f"http://127.0.0.1:{server.server_port}"
    state = S3State("books", "", S3Connection(endpoint_url=url, anonymous=True))
    with pytest.raises(StateError, match="unreadable"):
        state.get("claim.json")
