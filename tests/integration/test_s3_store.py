from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit
from zipfile import ZipFile

import pytest

from raypipe.core.errors import BookError, SetupError
from raypipe.sources.listing import list_all
from raypipe.sources.s3 import S3BookSource
from raypipe.text import TextCleaner
from tests.integration.s3_server import CountingS3Server, put_object_directly


@pytest.fixture(scope="module")
def endpoint(s3_server: CountingS3Server) -> str:
    return s3_server.url


@pytest.fixture
def source(endpoint: str) -> S3BookSource:
    return S3BookSource("books", endpoint_url=endpoint, anonymous=True)


@pytest.fixture(scope="module")
def client(s3_server: CountingS3Server, endpoint: str) -> Iterator[Any]:
    client = S3BookSource("books", endpoint_url=endpoint, anonymous=True).connection.client()
    client.create_bucket(Bucket="books")
    yield client
    s3_server.reset()


def test_all_pages_are_listed(source: S3BookSource, client: Any) -> None:
    for number in range(2_500):
        put_object_directly("books", f"many/{number:05d}.txt", b"x")
    listed = list(replace(source, prefix="many/").list_books())
    assert [book.key for book in listed] == [f"many/{number:05d}.txt" for number in range(2_500)]
    assert len({book.book_id for book in listed}) == 2_500


ODD_KEYS = [
    *("a//b.txt", "a/./b.txt", "a/../b.txt", "../b.txt", "./b.txt", "/b.txt", "//b.txt", "b.txt"),
    *("bell\a\x1b[31m.txt", "cr\r.txt", "%2e%2e/b.txt", "a+b.txt", "q?x=1#f.txt", "back\\b.txt"),
    *(
        " space .txt",
        "~.txt",
        "...txt",
        "<&>'\".txt",
        "\u202etxt.txt",
        "😀.txt",
        "k" * 1_016 + ".txt",
    ),
]
"""Keys that are no paths of files, or that a client may change on the way to the server."""


def test_every_key_is_read(source: S3BookSource, client: Any) -> None:
    client.create_bucket(Bucket="odd")
    for key in (*ODD_KEYS, "folder/", "folder.txt/"):
        client.put_object(Bucket="odd", Key=key, Body=key.encode(), ACL="public-read")
    odd = replace(source, bucket="odd")
    books = list(odd.list_books())
    assert sorted(book.key for book in books) == sorted(ODD_KEYS)
    assert [odd.read(book).decode() for book in books] == [book.key for book in books]


def test_size_etag_and_time_come_from_the_listing(source: S3BookSource, client: Any) -> None:
    answer = client.put_object(Bucket="books", Key="one/a.txt", Body=b"hello")
    (book,) = replace(source, prefix="one/").list_books()
    assert (book.size, book.etag) == (5, answer["ETag"].strip('"'))
    assert book.modified > 1.7e9


def test_suffixes_and_folder_markers_are_left_out(source: S3BookSource, client: Any) -> None:
    for key in ("mix/", "mix/a.txt", "mix/b.doc", "mix/ü & <c>.txt"):
        client.put_object(Bucket="books", Key=key, Body=b"x")
    listed = replace(source, prefix="mix/").list_books()
    assert [book.key for book in listed] == ["mix/a.txt", "mix/ü & <c>.txt"]


def test_only_the_listed_version_is_read(source: S3BookSource, client: Any) -> None:
    client.put_object(Bucket="books", Key="read/a.txt", Body=b"first", ACL="public-read")
    source_of_folder = replace(source, prefix="read/")
    (book,) = source_of_folder.list_books()
    assert source_of_folder.read(book) == b"first"
    client.put_object(Bucket="books", Key="read/a.txt", Body=b"second", ACL="public-read")
    with pytest.raises(BookError, match="changed after it was listed") as caught:
        source_of_folder.read(book)
    assert caught.value.retryable
    client.delete_object(Bucket="books", Key="read/a.txt")
    with pytest.raises(BookError) as caught:
        source_of_folder.read(book)
    assert caught.value.kind == "gone"


def test_the_members_of_a_zip_archive_are_read_by_ranges(
    source: S3BookSource, client: Any, s3_server: CountingS3Server
) -> None:
    members = {f"{n}.txt": bytes([65 + n % 26]) * 20_000 for n in range(200)}
    buffer = BytesIO()
    with ZipFile(buffer, "w") as archive:
        for name, data in {**members, "cover.jpg": b"x"}.items():
            archive.writestr(name, data)
    s3_server.put_object("books", "zip/shelf.zip", buffer.getvalue())
    s3_server.put_object("books", "zip/damaged.zip", b"no archive")
    shelf = replace(source, prefix="zip/")
    s3_server.gets.clear()
    listing = list_all(shelf)
    assert sorted(s3_server.gets) == ["zip/damaged.zip", "zip/shelf.zip"]
    books = {book.key: book for book in listing.books}
    damaged = books.pop("zip/damaged.zip")
    assert list(books) == [f"zip/shelf.zip!{name}" for name in members]
    assert listing.not_taken == {".jpg": 1}
    assert [folder.prefix for folder in listing.unlisted] == ["zip/damaged.zip!"]
    assert shelf.read(damaged) == b"no archive"
    s3_server.gets.clear()
    for name in ("7.txt", "199.txt"):
        assert shelf.read(books[f"zip/shelf.zip!{name}"]) == members[name]
    assert len(s3_server.gets) == 3  # the directory once, then each member
    s3_server.put_object("books", "zip/shelf.zip", buffer.getvalue() + b" ")
    with pytest.raises(BookError, match=r"zip/shelf\.zip.* changed") as caught:
        shelf.read(books["zip/shelf.zip!0.txt"])
    assert caught.value.retryable
    s3_server.delete_object("books", "zip/shelf.zip")
    with pytest.raises(BookError) as caught:
        shelf.read(books["zip/shelf.zip!0.txt"])
    assert caught.value.kind == "gone"


def test_an_object_with_a_content_encoding_is_a_book(source: S3BookSource, client: Any) -> None:
    text = ("The keeper lit the lamp. " * 100).encode()
    client.put_object(
        Bucket="books",
        Key="encoded/a.txt",
        Body=gzip.compress(text),
        ContentEncoding="gzip",
        ACL="public-read",
    )
    encoded = replace(source, prefix="encoded/")
    (book,) = encoded.list_books()
    assert TextCleaner().clean(encoded.read(book), book.key).text == text.decode().strip()


def test_an_unknown_bucket_is_named(endpoint: str, client: Any) -> None:
    with pytest.raises(SetupError, match=r"storage\.bucket=nowhere.*the bucket does not exist"):
        S3BookSource("nowhere", endpoint_url=endpoint, anonymous=True).check()


def test_a_missing_server_is_an_error(client: Any) -> None:
    with pytest.raises(SetupError, match="no server answers; check"):
        S3BookSource("b", endpoint_url="http://127.0.0.1:9", anonymous=True).check()


def test_missing_credentials_are_an_error(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    source = S3BookSource("books", endpoint_url=endpoint, region="eu-west-1")
    with pytest.raises(SetupError, match="no AWS credentials found"):
        source.check()
    with pytest.raises(SetupError, match="the profile is not in the AWS configuration"):
        replace(source, profile="nobody").check()


def test_an_anonymous_client_ignores_a_broken_profile(
    endpoint: str, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    S3BookSource("books", endpoint_url=endpoint, anonymous=True, region="eu-north-1").check()


SPECIAL_KEYS = ["a b/ü & <c>.txt", "100%25.txt", "plus+sign.txt", "书/七.txt", "tab\tkey.txt"]


@pytest.fixture
def pages() -> Iterator[tuple[str, list[str]]]:
    """Serve two pages of encoded keys; the second fails once. Yields URL and requested tokens."""
    tokens: list[str] = []

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
        SPECIAL_KEYS[:2],
        "<IsTruncated>true</IsTruncated><NextContinuationToken>n+e/x=t</NextContinuationToken>",
    )
    second = body(SPECIAL_KEYS[2:], "<IsTruncated>false</IsTruncated>")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            token = query.get("continuation-token", [""])[0]
            tokens.append(token)
            fails = token != "" and tokens.count(token) == 1
            self.send_response(503 if fails else 200)
            data = b"" if fails else second if token else first
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", tokens
    server.shutdown()
    server.server_close()


def test_encoded_keys_and_a_page_that_fails_once(
    pages: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint, tokens = pages

    def guess(text: str, **_: object) -> None:
        raise AssertionError(f"{text} was guessed, which takes half of the time of a listing")

    monkeypatch.setattr("dateutil.parser.parse", guess)
    listed = list(S3BookSource("books", endpoint_url=endpoint, anonymous=True).list_books())
    assert [book.key for book in listed] == SPECIAL_KEYS
    assert [book.size for book in listed] == [len(key) for key in SPECIAL_KEYS]
    assert {(book.etag, book.modified) for book in listed} == {("e", 1794038711.25)}
    assert tokens == ["", "n+e/x=t", "n+e/x=t"]
