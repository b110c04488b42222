"""Books in an S3 bucket, or in anything that speaks its protocol."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from raypipe.core.book import Book, BookError, book_id
from raypipe.core.errors import SetupError
from raypipe.core.s3 import S3Connection, explain
from raypipe.sources.protocol import endings

_FIRST_PAGE = 1


@dataclass(frozen=True)
class S3BookSource:
    """The objects of a bucket whose keys fit.

    Args:
        bucket: The bucket's name.
        prefix: Only keys that begin so.
        suffixes: Only keys that end with one of these; empty = all.
        profile: A profile of the AWS configuration; None = boto3's default.
        region: The region; None = the profile's.
        endpoint_url: Another server that speaks S3; None = Amazon's.
        anonymous: Send unsigned requests (public buckets, the embedded server).
    """

    bucket: str
    prefix: str = ""
    suffixes: tuple[str, ...] | list[str] = (".txt",)
    profile: str | None = None
    region: str | None = None
    endpoint_url: str | None = None
    anonymous: bool = False

    @property
    def connection(self) -> S3Connection:
        """Return how this store is reached; a state on S3 is reached the same way."""
        return S3Connection(self.profile, self.region, self.endpoint_url, self.anonymous)

    @property
    def identity(self) -> str:
        """Return `s3://bucket`: bucket names are unique, the endpoint may change."""
        return f"s3://{self.bucket}"

    @property
    def selection(self) -> str:
        """Return the objects that are meant, for a person."""
        return f"s3://{self.bucket}/{self.prefix}*{endings(self.suffixes)}"

    def check(self) -> None:
        """Ask for one key.

        Raises:
            SetupError: No such bucket, no credentials, no permission, no such endpoint.
        """
        try:
            self._page(MaxKeys=_FIRST_PAGE)
        except Exception as error:
            raise self._setup_error(error) from None

    def list_books(self) -> Iterator[Book]:
        """Yield every book, all pages, from the listing alone.

        Raises:
            SetupError: The bucket cannot be listed.
        """
        token: str | None = None
        while True:
            try:
                page = self._page(**({"ContinuationToken": token} if token else {}))
            except Exception as error:
                raise self._setup_error(error) from None
            for entry in page.get("Contents", ()):
                key = entry["Key"]
                if self.selects(key):
                    yield self._book(key, entry)
            if not page.get("IsTruncated"):
                return
            token = page.get("NextContinuationToken")
            if not token:
                raise SetupError(
                    f"the listing of {self.selection} was cut: the server says that there is more "
                    "and not where; try again, or look at storage.endpoint_url"
                )

    def selects(self, key: str) -> bool:
        """Whether the listing would name a book with this key, if it were there."""
        suffixes = tuple(self.suffixes)
        # A key that ends in "/" is how consoles show an empty folder.
        named = not key.endswith("/") and (not suffixes or key.endswith(suffixes))
        return named and key.startswith(self.prefix)

    def read(self, book: Book) -> bytes:
        """Return the book's bytes, if it still is what was listed.

        Raises:
            BookError: It changed, is gone, is denied, or S3 did not deliver it.
        """
        from botocore.exceptions import BotoCoreError, ClientError
        from urllib3.exceptions import HTTPError

        try:
            answer = self.connection.client().get_object(
                Bucket=self.bucket, Key=book.key, IfMatch=f'"{book.etag}"'
            )
            data: bytes = answer["Body"].read()
            return data
        except ClientError as error:
            raise _book_error(book, error.response.get("Error", {}).get("Code", "")) from None
        except (BotoCoreError, HTTPError, OSError) as error:
            message = f"{book.key}: {type(error).__name__} while reading"
            raise BookError("read", message, retryable=True) from None

    def _page(self, **more: Any) -> dict[str, Any]:
        page: dict[str, Any] = self.connection.client().list_objects_v2(
            Bucket=self.bucket, Prefix=self.prefix, **more
        )
        return page

    def _book(self, key: str, entry: dict[str, Any]) -> Book:
        etag = entry["ETag"].strip('"')
        modified = entry["LastModified"].timestamp()
        return Book(book_id(self.identity, key), key, etag, entry["Size"], modified)

    def _setup_error(self, error: Exception) -> SetupError:
        return SetupError(explain(error, f"storage.bucket={self.bucket}", self.connection))


_BOOK_ERRORS = {
    "PreconditionFailed": ("changed", "changed after it was listed; the next run takes it", True),
    "NoSuchKey": ("gone", "was removed after it was listed", False),
    "AccessDenied": ("denied", "may not be read with these credentials (403)", True),
    "InvalidObjectState": ("archived", "is in an archive tier; restore it first", True),
}


def _book_error(book: Book, code: str) -> BookError:
    code = {"403": "AccessDenied", "404": "NoSuchKey", "412": "PreconditionFailed"}.get(code, code)
    kind, message, retryable = _BOOK_ERRORS.get(code, ("read", f"S3 answered {code}", True))
    return BookError(kind, f"{book.key} {message}", retryable=retryable)
