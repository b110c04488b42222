from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from raypipe.core.errors import BookError, SetupError
from raypipe.sources.s3 import S3BookSource
from tests.integration.s3_here import put_past_http


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def store(endpoint: str) -> S3BookSource:
    return S3BookSource("books", endpoint_url=endpoint, anonymous=True)


@pytest.fixture(scope="module")
def client(endpoint: str) -> Any:
    client = S3BookSource("books", endpoint_url=endpoint, anonymous=True).connection.client()
    client.create_bucket(Bucket="books")
    return client


def test_listing_follows_every_page(store: S3BookSource, client: Any) -> None:
    for number in range(2_500):
        put_past_http("books", f"many/{number:05d}.txt", b"x")
    listed = list(replace(store, prefix="many/").list_books())
    assert [book.key for book in listed] == [f"many/{number:05d}.txt" for number in range(2_500)]
    assert len({book.book_id for book in listed}) == 2_500


def test_takes_size_etag_and_time_from_the_listing(store: S3BookSource, client: Any) -> None:
    answer = client.put_object(Bucket="books", Key="one/a.txt", Body=b"hello")
    (book,) = replace(store, prefix="one/").list_books()
    assert (book.size, book.etag) == (5, answer["ETag"].strip('"'))
    assert book.modified > 1.7e9


def test_suffixes_and_folder_markers_are_left_out(store: S3BookSource, client: Any) -> None:
    for key in ("mix/", "mix/a.txt", "mix/b.md", "mix/ü & <c>.txt"):
        client.put_object(Bucket="books", Key=key, Body=b"x")
    listed = replace(store, prefix="mix/").list_books()
    assert [book.key for book in listed] == ["mix/a.txt", "mix/ü & <c>.txt"]


def test_reads_only_the_version_that_was_listed(store: S3BookSource, client: Any) -> None:
    client.put_object(Bucket="books", Key="read/a.txt", Body=b"first", ACL="public-read")
    mine = replace(store, prefix="read/")
    (book,) = mine.list_books()
    assert mine.read(book) == b"first"
    client.put_object(Bucket="books", Key="read/a.txt", Body=b"second", ACL="public-read")
    with pytest.raises(BookError, match="changed after it was listed") as caught:
        mine.read(book)
    assert caught.value.retryable
    client.delete_object(Bucket="books", Key="read/a.txt")
    with pytest.raises(BookError) as caught:
        mine.read(book)
    assert caught.value.kind == "gone"


def test_an_unknown_bucket_is_named_with_the_way_out(endpoint: str, client: Any) -> None:
    with pytest.raises(SetupError, match=r"storage\.bucket=nowhere.*no such bucket"):
        S3BookSource("nowhere", endpoint_url=endpoint, anonymous=True).check()


def test_no_server_is_said(client: Any) -> None:
    with pytest.raises(SetupError, match="no server answers there"):
        S3BookSource("b", endpoint_url="http://127.0.0.1:9", anonymous=True).check()


def test_missing_credentials_are_said(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    store = S3BookSource("books", endpoint_url=endpoint, region="eu-west-1")
    with pytest.raises(SetupError, match="no AWS credentials found"):
        store.check()
    with pytest.raises(SetupError, match="no such profile"):
        replace(store, profile="nobody").check()


def test_an_anonymous_client_ignores_a_broken_profile(
    endpoint: str, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    S3BookSource("books", endpoint_url=endpoint, anonymous=True, region="eu-north-1").check()


NASTY = ["a b/ü & <c>.txt", "100%25.txt", "plus+sign.txt", "书/七.txt", "tab\tkey.txt"]


@pytest.fixture
def pages() -> Iterator[tuple[str, list[str]]]:
    """Serve two ready pages of encoded keys; the second is refused once. Yields what was asked."""
    asked: list[str] = []

    def body(keys: list[str], more: str) -> bytes:
        entries = "".join(
            f"<Contents><Key>{quote(key)}</Key><LastModified>2026-11-07T08:05:11.250Z"
            f"</LastModified><ETag>&quot;e&quot;</ETag><Size>{len(key)}</Size></Contents>"
            for key in keys
        )
        return (
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<EncodingType>url</EncodingType>{more}{entries}</ListBucketResult>"
        ).encode()

    first = body(
        NASTY[:2],
        "<IsTruncated>true</IsTruncated><NextContinuationToken>n+e/x=t</NextContinuationToken>",
    )
    second = body(NASTY[2:], "<IsTruncated>false</IsTruncated>")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            token = query.get("continuation-token", [""])[0]
            asked.append(token)
            refused = token != "" and asked.count(token) == 1
            self.send_response(503 if refused else 200)
            said = b"" if refused else second if token else first
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def test_encoded_keys_times_and_a_page_that_was_refused_once(
    pages: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint, asked = pages

    def guess(text: str, **_: object) -> None:
        raise AssertionError(f"{text} was guessed: half of what a long listing costs")

    monkeypatch.setattr("dateutil.parser.parse", guess)
    listed = list(S3BookSource("books", endpoint_url=endpoint, anonymous=True).list_books())
    assert [book.key for book in listed] == NASTY
    assert [book.size for book in listed] == [len(key) for key in NASTY]
    assert {(book.etag, book.modified) for book in listed} == {("e", 1794038711.25)}
    assert asked == ["", "n+e/x=t", "n+e/x=t"]
