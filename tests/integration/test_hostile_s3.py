"""Servers, proxies and login pages that answer instead of S3, or leave something out."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from raypipe.core.book import Book
from raypipe.core.errors import BookError, SetupError
from raypipe.core.s3 import S3Connection
from raypipe.ledger.writer_lock import WriterLock
from raypipe.sources.local import LocalBookSource
from raypipe.sources.s3 import S3BookSource
from raypipe.state import s3 as s3_state
from raypipe.state.s3 import S3State
from raypipe.state.store import StateError, state_id

HTML = b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body>Wi-Fi</body></html>"
UPPER_HTML = b"\n <HTML><BODY>502 Bad Gateway</BODY></HTML>"
XHTML = b'<?xml version="1.0"?><!-- proxy --><html xmlns="http://www.w3.org/1999/xhtml"/>'
TIME = "2026-11-07T08:05:11.250Z"
NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


@dataclass
class Answer:
    """An answer of the fake server; the ETag header is left out if `etag` is empty."""

    body: bytes = b""
    status: int = 200
    etag: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None


@dataclass
class FakeS3:
    """A server that answers each request by a rule; its query is passed to the rule."""

    url: str = ""
    rule: Callable[[str, dict[str, list[str]]], Answer] = lambda *_: Answer()
    requests: int = 0


@pytest.fixture(scope="module")
def fake_server() -> Iterator[FakeS3]:
    fake = FakeS3()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fake.requests += 1
            parts = urlsplit(self.path)
            answer = fake.rule(self.command, parse_qs(parts.query, keep_blank_values=True))
            length = len(answer.body) if answer.length is None else answer.length
            self.send_response(answer.status)
            headers = {"Content-Type": "application/xml", **answer.headers}
            if answer.etag:
                headers["ETag"] = answer.etag
            for name, value in {**headers, "Content-Length": str(length)}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)
            self.close_connection = length != len(answer.body)

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = answer

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield fake
    server.shutdown()
    server.server_close()


@pytest.fixture
def fake(fake_server: FakeS3) -> FakeS3:
    fake_server.rule, fake_server.requests = lambda *_: Answer(), 0
    return fake_server


@pytest.fixture
def source(fake: FakeS3) -> S3BookSource:
    return S3BookSource("books", endpoint_url=fake.url, anonymous=True)


@pytest.fixture
def state(fake: FakeS3, monkeypatch: pytest.MonkeyPatch) -> S3State:
    monkeypatch.setattr(s3_state, "_MAX_WAIT_S", 0.01)
    return S3State("books", "state", S3Connection(endpoint_url=fake.url, anonymous=True))


def listing(
    *keys: str, name: str = "books", prefix: str = "", truncated: str = "false", more: str = ""
) -> bytes:
    entries = "".join(
        f"<Contents><Key>{key}</Key><LastModified>{TIME}</LastModified>"
        f"<ETag>&quot;e&quot;</ETag><Size>5</Size></Contents>"
        for key in keys
    )
    flag = f"<IsTruncated>{truncated}</IsTruncated>" if truncated else ""
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult {NAMESPACE}>'
        f"<Name>{name}</Name><Prefix>{prefix}</Prefix>{flag}{more}{entries}</ListBucketResult>"
    ).encode()


TOKEN = "<NextContinuationToken>next</NextContinuationToken>"
BAD_PAGES: dict[str, bytes] = {
    "HTML": HTML,
    "upper case": UPPER_HTML,
    "XHTML": XHTML,
    "nothing": b"",
    "text": b"OK",
    "JSON": b'{"IsTruncated": false}',
    "another document": f"<ListAllMyBucketsResult {NAMESPACE}/>".encode(),
    "no IsTruncated": listing("a.txt", truncated=""),
    "another bucket": listing("a.txt", name="films"),
    "another prefix": listing("a.txt", prefix="b/"),
    "fewer keys than counted": listing("a.txt", more="<KeyCount>2</KeyCount>"),
    "no token": listing("a.txt", truncated="true"),
    "cut": listing("a.txt", "b.txt")[:-80],
}


@pytest.mark.parametrize("page", BAD_PAGES.values(), ids=BAD_PAGES)
@pytest.mark.parametrize("number", [1, 2])
def test_a_page_that_is_not_of_the_listing_ends_it_with_one_line(
    page: bytes, number: int, fake: FakeS3, source: S3BookSource, state: S3State
) -> None:
    def answer(_: str, query: dict[str, list[str]]) -> Answer:
        is_second = "continuation-token" in query
        if number == 2 and not is_second:
            prefix = query["prefix"][0]
            key = f"{prefix}0.txt"
            return Answer(listing(key, prefix=prefix, truncated="true", more=TOKEN))
        return Answer(page)

    fake.rule = answer
    with pytest.raises(SetupError) as caught:
        list(source.list_books())
    assert "\n" not in str(caught.value)
    with pytest.raises(StateError) as caught:
        state.list("runs/")
    assert "\n" not in str(caught.value)
    assert "cannot access the state at s3://books/state/runs" in str(caught.value)


@pytest.mark.parametrize("status", [400, 403, 404])
def test_an_error_of_a_later_page_ends_the_listing(
    status: int, fake: FakeS3, source: S3BookSource
) -> None:
    first = Answer(listing("a.txt", truncated="true", more=TOKEN))
    fake.rule = lambda _, query: first if "continuation-token" not in query else Answer(b"", status)
    books = source.list_books()
    assert next(books).key == "a.txt"
    with pytest.raises(SetupError) as caught:
        next(books)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("page", [HTML, XHTML, b""])
def test_the_check_before_a_run_refuses_a_foreign_answer(
    page: bytes, fake: FakeS3, source: S3BookSource
) -> None:
    fake.rule = lambda *_: Answer(page)
    with pytest.raises(SetupError, match="whether a proxy or a login page answers instead of S3"):
        source.check()


def same_token(number: int) -> bytes:
    return listing(f"{number:06d}.txt", truncated="true", more=TOKEN)


def same_keys(number: int) -> bytes:
    return listing("a.txt", truncated="true", more=TOKEN.replace("next", str(number)))


def no_keys(number: int) -> bytes:
    return listing(truncated="true", more=TOKEN.replace("next", str(number)))


@pytest.mark.parametrize("page", [same_token, same_keys, no_keys])
def test_pages_that_do_not_advance_end_the_listing(
    page: Callable[[int], bytes], fake: FakeS3, source: S3BookSource, monkeypatch: Any
) -> None:
    monkeypatch.setattr("raypipe.core.s3_responses._MAX_EMPTY_PAGES", 20)
    numbers = itertools.count()
    fake.rule = lambda *_: Answer(page(next(numbers)))
    with pytest.raises(SetupError, match=r"storage|incomplete"):
        list(source.list_books())
    assert fake.requests < 50


BAD_ENTRIES = {
    "no key": "<Contents><ETag>e</ETag><Size>5</Size></Contents>",
    "no ETag": f"<Contents><Key>a.txt</Key><LastModified>{TIME}</LastModified>"
    "<Size>5</Size></Contents>",
    "no size": f"<Contents><Key>a.txt</Key><LastModified>{TIME}</LastModified>"
    "<ETag>e</ETag></Contents>",
    "no time": "<Contents><Key>a.txt</Key><ETag>e</ETag><Size>5</Size></Contents>",
    "negative size": f"<Contents><Key>a.txt</Key><LastModified>{TIME}</LastModified>"
    "<ETag>e</ETag><Size>-5</Size></Contents>",
    "no number": f"<Contents><Key>a.txt</Key><LastModified>{TIME}</LastModified>"
    "<ETag>e</ETag><Size>many</Size></Contents>",
    "no date": "<Contents><Key>a.txt</Key><LastModified>soon</LastModified>"
    "<ETag>e</ETag><Size>5</Size></Contents>",
}


@pytest.mark.parametrize("entry", BAD_ENTRIES.values(), ids=BAD_ENTRIES)
def test_an_incomplete_entry_ends_the_listing(
    entry: str, fake: FakeS3, source: S3BookSource
) -> None:
    fake.rule = lambda *_: Answer(listing(more=entry))
    with pytest.raises(SetupError) as caught:
        list(source.list_books())
    assert "\n" not in str(caught.value)


def test_a_server_that_leaves_optional_fields_out_is_listed(
    fake: FakeS3, source: S3BookSource
) -> None:
    page = listing("a.txt", "b.txt").replace(b"<Name>books</Name><Prefix></Prefix>", b"")
    fake.rule = lambda *_: Answer(b"\xef\xbb\xbf" + page.removeprefix(b"\xef\xbb\xbf"))
    assert [book.key for book in source.list_books()] == ["a.txt", "b.txt"]
    spaces = "a b/%25"
    page = listing(f"{spaces}x.txt", prefix=spaces)
    fake.rule = lambda *_: Answer(page)
    assert len(list(replace(source, prefix=spaces).list_books())) == 1


BOOK = Book("id", "a.txt", "e", 5, 0.0)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(HTML),
        Answer(b"hello"),  # without an ETag
        Answer(HTML, etag='"e"'),
        Answer(b"hell", etag='"e"'),
        Answer(b"hello!", etag='"e"'),
        Answer(b"hell", etag='"e"', length=5),
        Answer(b"", etag='"e"', status=204),
        Answer(HTML, status=404),
        Answer(HTML, status=502),
        Answer(b"\x1f\x8bgzip", etag='W/"e-gzip"', headers={"Content-Encoding": "gzip"}),
    ],
)
def test_a_page_or_a_part_of_a_body_is_no_book(
    answer: Answer, fake: FakeS3, source: S3BookSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", _no_delay)
    fake.rule = lambda *_: answer
    with pytest.raises(BookError) as caught:
        source.read(BOOK)
    assert (caught.value.kind, caught.value.retryable) == ("read", True)
    assert "\n" not in caught.value.message


def _no_delay(*_: object) -> float:
    return 0.0


def test_a_server_that_ignores_the_condition_gives_a_changed_book(
    fake: FakeS3, source: S3BookSource
) -> None:
    fake.rule = lambda *_: Answer(b"HELLO", etag='"f"')
    with pytest.raises(BookError) as caught:
        source.read(BOOK)
    assert (caught.value.kind, caught.value.retryable) == ("changed", True)


@pytest.mark.parametrize("etag", ['"e"', "e", 'W/"e"', '"e-gzip"'])
def test_the_same_version_is_a_book_however_its_etag_is_written(
    etag: str, fake: FakeS3, source: S3BookSource
) -> None:
    fake.rule = lambda *_: Answer(b"hello", etag=etag)
    assert source.read(BOOK) == b"hello"
    multipart = replace(BOOK, etag="0123456789abcdef-7")
    fake.rule = lambda *_: Answer(b"hello", etag='"0123456789abcdef-7"')
    assert source.read(multipart) == b"hello"


@pytest.mark.parametrize("page", [HTML, UPPER_HTML, XHTML, b"", b"OK"])
@pytest.mark.parametrize("status", [200, 404])
def test_a_page_is_no_state(page: bytes, status: int, fake: FakeS3, state: S3State) -> None:
    fake.rule = lambda *_: Answer(page, status=status)
    operations: list[Callable[[], object]] = [
        lambda: state.get("claim.json"),
        lambda: state.open("runs/a"),
        lambda: state.list(),
        lambda: state.put("a", b"1"),
        lambda: state.put_if_absent("a", b"1"),
        lambda: state.put_if_match("a", b"1", "e"),
        lambda: state.delete(["a"]),
        lambda: state.check(),
        lambda: state_id(state),
        lambda: WriterLock.acquire(state),
    ]
    for operation in operations:
        with pytest.raises(StateError) as caught:
            operation()
        assert "\n" not in str(caught.value)
        assert "cannot access the state at s3://books/state" in str(caught.value)


def test_a_range_that_the_server_ignores_is_cut_out(fake: FakeS3, state: S3State) -> None:
    data = bytes(range(256)) * 8
    fake.rule = lambda *_: Answer(data, etag='"e"')
    assert state._read_range("a", 10, 20) == data[10:20]
    fake.rule = lambda *_: Answer(
        data[:5], etag='"e"', status=206, headers={"Content-Range": "bytes 10-19/2048"}
    )
    with pytest.raises(StateError, match="a range of the object is incomplete"):
        state._read_range("a", 10, 20)


def test_a_file_that_changes_while_it_is_read_is_a_changed_book(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("first version")
    local = LocalBookSource(str(tmp_path))
    (book,) = local.list_books()
    fstat = os.fstat

    def write_after_the_check(descriptor: int) -> os.stat_result:
        status = fstat(descriptor)
        path.write_text("another")
        return status

    monkeypatch.setattr(os, "fstat", write_after_the_check)
    with pytest.raises(BookError) as caught:
        local.read(book)
    assert caught.value.kind == "changed"


def test_a_folder_that_cannot_be_listed_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    scandir = os.scandir

    def fail_below(folder: Any) -> Any:
        if Path(folder).name == "a":
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", fail_below)
    with pytest.raises(SetupError, match=r"cannot be listed: 'a/' \(Permission denied"):
        list(LocalBookSource(str(tmp_path)).list_books())
