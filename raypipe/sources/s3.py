"""Books in a bucket of S3, or of another server with the S3 API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from raypipe.core.book import Book, book_id
from raypipe.core.errors import BookError, SetupError
from raypipe.core.s3 import S3Connection, explain, explain_denied, is_denied
from raypipe.core.s3_responses import (
    S3ResponseError,
    check_page,
    etag_of,
    list_objects,
    plain_etag,
    read_body,
)
from raypipe.sources.archive import (
    Archive,
    ArchiveError,
    Directory,
    Fetch,
    archive_of,
    open_directory,
    read_directory,
    read_member,
)
from raypipe.sources.key_filter import BOOK_ENDINGS, KeyFilter, NotTaken, is_archive
from raypipe.sources.listing import IncompleteListingError, UnlistedFolder
from raypipe.sources.protocol import describe_suffixes

_MAX_SIZE = 1 << 63
_ARCHIVES_AT_ONCE = 8
"""Archives whose directories are requested at the same time, and are in memory together."""


@dataclass(frozen=True)
class S3BookSource:
    """The objects of a bucket; the key of a book is the key of its object.

    Args:
        bucket: Name of the bucket.
        prefix: List only keys that begin with this.
        suffixes: List only keys that end with one of these, in any case; empty for all keys.
        profile: Profile of the AWS configuration; None for boto3's default.
        region: AWS region; None for the region of the profile.
        endpoint_url: URL of another server with the S3 API; None for Amazon S3.
        anonymous: Send unsigned requests, for public buckets and the embedded server.
    """

    bucket: str
    prefix: str = ""
    suffixes: tuple[str, ...] | list[str] = BOOK_ENDINGS
    profile: str | None = None
    region: str | None = None
    endpoint_url: str | None = None
    anonymous: bool = False

    def __post_init__(self) -> None:
        """Check that there is a name."""
        if not self.bucket:
            raise ValueError("bucket is empty; set it to the name of the bucket with the books")

    @property
    def connection(self) -> S3Connection:
        """Return how the bucket is reached; a state on S3 uses the same connection."""
        return S3Connection(self.profile, self.region, self.endpoint_url, self.anonymous)

    @property
    def identity(self) -> str:
        """Return `s3://bucket`: bucket names are unique, endpoints may change."""
        return f"s3://{self.bucket}"

    @property
    def selection(self) -> str:
        """Return which objects are listed, for messages."""
        return f"s3://{self.bucket}/{self.prefix}*{describe_suffixes(self.suffixes)}"

    @property
    def locations(self) -> Mapping[str, str]:
        """Return the endpoint, if one is set: every worker reads from it."""
        return {"storage.endpoint_url": self.endpoint_url} if self.endpoint_url else {}

    @property
    def lists_whole_source(self) -> bool:
        """Return True."""
        return True

    def check(self) -> None:
        """List one key.

        Raises:
            SetupError: The bucket or the endpoint does not exist, or credentials or permission
                are missing.
        """
        try:
            check_page(self._list_page(MaxKeys=1), self.bucket, self.prefix)
        except Exception as error:
            raise self._setup_error(error) from None

    def list_books(self) -> Iterator[Book]:
        """Yield every book from the listing alone, all pages.

        Raises:
            SetupError: The bucket cannot be listed.
        """
        return self.list_counting(NotTaken())

    def list_counting(self, not_taken: NotTaken) -> Iterator[Book]:
        """Yield every book as `list_books` does, and count the other keys.

        Raises:
            SetupError: The bucket cannot be listed.
            IncompleteListingError: After the last book, if the directory of an archive cannot be
                read.
        """
        unlisted: list[UnlistedFolder] = []
        archives: list[Book] = []
        try:
            source, selects = self.identity, self._filter.counting(not_taken)
            for entry in list_objects(self._list_page, self.bucket, self.prefix):
                key = entry["Key"]
                if not selects(key):
                    continue
                book = _book(source, key, entry)
                if not is_archive(key):
                    yield book
                    continue
                archives.append(book)
                if len(archives) == _ARCHIVES_AT_ONCE:
                    yield from self._list_archives(archives, not_taken, unlisted)
                    archives.clear()
            yield from self._list_archives(archives, not_taken, unlisted)
        except S3ResponseError as error:
            raise SetupError(
                f"the listing of {self.selection} is incomplete: {error}; run again, or check "
                "storage.endpoint_url"
            ) from None
        except Exception as error:
            raise self._setup_error(error) from None
        if unlisted:
            raise IncompleteListingError(self.selection, unlisted)

    def selects(self, key: str) -> bool:
        """Whether the listing would include an existing book with this key."""
        return self._filter.selects(key)

    def read(self, book: Book) -> bytes:
        """Return the bytes of a book, in the version that was listed.

        Raises:
            BookError: The object changed (`changed`), was deleted (`gone`), may not be read
                (`denied`), is archived (`archived`), or reading failed (`read`).
        """
        from botocore.exceptions import BotoCoreError, ClientError
        from urllib3.exceptions import HTTPError

        archive = archive_of(book)
        try:
            if archive is not None:
                return self._read_member(archive, book)
            data = self._get(book)
            if len(data) != book.size:
                raise S3ResponseError(f"the body has {len(data)} of {book.size} bytes")
            return data
        except ClientError as error:
            answer = error.response.get("Error", {})
            raise _book_error(book, answer.get("Code", ""), answer.get("Message", "")) from None
        except S3ResponseError as error:
            raise BookError("read", f"{book.key}: {error}", retryable=True) from None
        except (BotoCoreError, HTTPError, OSError) as error:
            message = f"{book.key}: {type(error).__name__} while reading"
            raise BookError("read", message, retryable=True) from None

    def _get(self, book: Book, **arguments: Any) -> bytes:
        response = self.connection.client().get_object(
            Bucket=self.bucket, Key=book.key, IfMatch=f'"{book.etag}"', **arguments
        )
        if plain_etag(etag_of(response)) != plain_etag(book.etag):
            raise _book_error(book, "PreconditionFailed")  # the server ignores If-Match
        return read_body(response)

    def _fetch_from(self, archive: Book) -> Fetch:
        """Return a function that requests a range of an archive."""

        def fetch(start: int, stop: int) -> bytes:
            if stop <= start:
                return b""
            data = self._get(archive, Range=f"bytes={start}-{stop - 1}")
            if len(data) != stop - start:
                raise S3ResponseError(f"a range has {len(data)} of {stop - start} bytes")
            return data

        return fetch

    def _list_archives(
        self, archives: list[Book], not_taken: NotTaken, unlisted: list[UnlistedFolder]
    ) -> Iterator[Book]:
        """Yield the books in some archives; a damaged archive itself: reading it tells why."""
        if not archives:
            return
        selects = self._filter.counting(not_taken, prefix="")
        with ThreadPoolExecutor(_ARCHIVES_AT_ONCE, "raypipe-archives") as threads:
            found = threads.map(self._try_directory, archives)
        for book, directory in zip(archives, found, strict=True):
            if isinstance(directory, Directory):
                archive = Archive(self.identity, book)
                yield from archive.list_members(directory, selects, not_taken)
                continue
            unlisted.append(UnlistedFolder(f"{book.key}!", _describe(directory)))
            if isinstance(directory, ArchiveError):
                yield book

    def _try_directory(self, archive: Book) -> Directory | Exception:
        from botocore.exceptions import BotoCoreError, ClientError
        from urllib3.exceptions import HTTPError

        try:
            return read_directory(self._fetch_from(archive), archive.size)
        except (ArchiveError, BookError, S3ResponseError) as error:
            return error
        except (BotoCoreError, ClientError, HTTPError, OSError) as error:
            return error

    def _read_member(self, archive: Book, book: Book) -> bytes:
        """Return a member of an archive; a process requests the directory of an archive once."""
        fetch = self._fetch_from(archive)

        def find_size() -> int:
            head = self.connection.client().head_object(
                Bucket=self.bucket, Key=archive.key, IfMatch=f'"{archive.etag}"'
            )
            return int(head["ContentLength"])

        directory = open_directory(self.identity, archive, fetch, find_size)
        return read_member(fetch, directory, book)

    @cached_property
    def _filter(self) -> KeyFilter:
        return KeyFilter(self.prefix, self.suffixes)

    def _list_page(self, **arguments: Any) -> dict[str, Any]:
        page: dict[str, Any] = self.connection.client().list_objects_v2(
            Bucket=self.bucket, Prefix=self.prefix, **arguments
        )
        return page

    def _setup_error(self, error: Exception) -> SetupError:
        return SetupError(explain(error, f"storage.bucket={self.bucket}", self.connection))


def _describe(error: Exception) -> str:
    """Return why an archive cannot be listed, without what a server sent."""
    if isinstance(error, ArchiveError | S3ResponseError):
        return str(error)
    if isinstance(error, BookError):
        return error.kind
    code = getattr(error, "response", {}).get("Error", {}).get("Code", "")
    return f"S3 returned {code}" if code else type(error).__name__


def _book(source: str, key: str, entry: Mapping[str, Any]) -> Book:
    try:
        etag, size = entry["ETag"].strip('"'), entry["Size"]
        modified = entry["LastModified"].timestamp()
    except (KeyError, AttributeError):
        etag, size, modified = "", 0, 0.0
    if not etag or not 0 <= size < _MAX_SIZE:
        raise S3ResponseError("an entry lacks its ETag, Size or LastModified")
    return Book(book_id(source, key), key, etag, size, modified)


_BOOK_ERRORS = {
    "PreconditionFailed": (
        "changed",
        "changed after it was listed; the next run processes it",
        True,
    ),
    "NoSuchKey": ("gone", "was deleted after it was listed", True),
    "InvalidObjectState": ("archived", "is in an archive tier; restore it first", True),
}


def _book_error(book: Book, code: str, message: str = "") -> BookError:
    if is_denied(code):
        reason = explain_denied(message, "s3:GetObject")
        return BookError("denied", f"{book.key} may not be read: {reason}", retryable=True)
    # A 404 without S3's own code may be a proxy's: it does not show that the object is gone.
    code = {"412": "PreconditionFailed"}.get(code, code)
    unknown = ("read", f"cannot be read: S3 returned {code}", True)
    kind, text, retryable = _BOOK_ERRORS.get(code, unknown)
    return BookError(kind, f"{book.key} {text}", retryable=retryable)
