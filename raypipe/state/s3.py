"""A state under a prefix of an S3 bucket, using the conditional puts of S3."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO, TypeVar, cast

from raypipe.core.retry import attempts
from raypipe.core.s3 import S3Connection, explain
from raypipe.core.s3_responses import S3ResponseError, etag_of, list_objects, read_body
from raypipe.state.range_reader import RangeReader
from raypipe.state.s3_errors import (
    is_absent,
    is_condition_failed,
    is_condition_unknown,
    is_from_s3,
    is_range_invalid,
    is_transient,
    may_be_executed,
)
from raypipe.state.store import (
    Names,
    StateError,
    check_conditional_puts,
    check_name,
    no_conditional_puts,
)

_TRIES = 5
_TIMEOUT_S = 20.0
_MAX_WAIT_S = 5.0
_DELETE_BATCH = 1_000  # the limit of DeleteObjects
_TAIL_BYTES = 1 << 20  # a single request fetches a small part as a whole, or a large part's footer

_PERMISSIONS = (
    "s3:ListBucket on the bucket, and s3:GetObject, s3:PutObject and s3:DeleteObject under the "
    "prefix,"
)

_T = TypeVar("_T")


@dataclass(frozen=True)
class S3State:
    """A state under a prefix of a bucket.

    An instance holds settings only; each process creates its client on first use.

    Args:
        bucket: Name of the bucket.
        prefix: Prefix of all keys, without a slash at its ends; '' for the whole bucket.
        connection: How S3 is reached.
    """

    bucket: str
    prefix: str = ""
    connection: S3Connection = field(default_factory=S3Connection)

    @property
    def uri(self) -> str:
        """Return `s3://bucket/prefix`."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def get(self, name: str) -> bytes | None:
        """Return the bytes of a name, or None if it does not exist."""
        tagged = self.get_tagged(name)
        return tagged[0] if tagged else None

    def get_tagged(self, name: str) -> tuple[bytes, str] | None:
        """Return the bytes of a name and their ETag, or None if it does not exist."""
        return self._get_or_none(name, lambda: self._fetch(name))

    def open(self, name: str) -> BinaryIO | None:
        """Return a reader of a name that fetches ranges when they are read, or None."""
        tail = self._get_or_none(name, lambda: self._fetch_range(name, f"bytes=-{_TAIL_BYTES}"))
        if tail is None:
            return None
        return cast(BinaryIO, RangeReader(partial(self._read_range, name), *tail))

    def put(self, name: str, data: bytes, *, durable: bool = True) -> None:
        """Write a name, replacing its content."""
        self._retry(name, lambda: self._put(name, data))

    def put_if_absent(self, name: str, data: bytes, *, durable: bool = True) -> str | None:
        """Create a name and return its ETag, or None if it exists."""
        return self._put_if(name, data, IfNoneMatch="*")

    def put_if_match(self, name: str, data: bytes, tag: str, *, durable: bool = True) -> str | None:
        """Replace the content if it still has this ETag; return the new ETag, or None."""
        return self._put_if(name, data, IfMatch=tag)

    def delete(self, names: Iterable[str]) -> None:
        """Delete names; a name that does not exist is not an error."""
        keys = [{"Key": self._key_of(name)} for name in names]
        for start in range(0, len(keys), _DELETE_BATCH):
            batch = {"Objects": keys[start : start + _DELETE_BATCH], "Quiet": True}
            response = self._retry("", partial(self._request, "delete_objects", Delete=batch))
            for error in response.get("Errors", ()):
                code, key = error.get("Code", ""), error.get("Key", "")
                raise StateError(
                    f"cannot delete s3://{self.bucket}/{key} of the state ({code}); grant "
                    "s3:DeleteObject to the credentials"
                )

    def check(self) -> None:
        """Write, replace and delete a probe.

        Raises:
            SetupError: The bucket does not exist, credentials or permissions are missing, or the
                server ignores conditional puts.
        """
        check_conditional_puts(self)

    def list(self, prefix: str = "") -> Names:
        """Return all names that begin with `prefix`, from all pages, sorted.

        S3 lists keys in order and consistently: a name that sorts after a deleted name is listed
        as it is at the time of the deletion, or later.
        """
        return list(self.list_sizes(prefix))

    def list_sizes(self, prefix: str = "") -> dict[str, int]:
        """Return the size in bytes of each name that begins with `prefix`, sorted by name."""
        root = f"{self.prefix}/" if self.prefix else ""
        whole_prefix = root + prefix

        def request_page(**continuation: str) -> Any:
            arguments = {"Prefix": whole_prefix, **continuation}
            return self._retry(prefix, partial(self._request, "list_objects_v2", **arguments))

        try:
            entries = list_objects(request_page, self.bucket, whole_prefix)
            sizes = {entry["Key"][len(root) :]: int(entry.get("Size") or 0) for entry in entries}
        except S3ResponseError as error:
            raise self._translate(prefix, error) from error
        return dict(sorted(sizes.items()))

    def _read_range(self, name: str, start: int, stop: int) -> bytes:
        """Return the bytes of a name from `start` up to `stop`.

        Raises:
            FileNotFoundError: The name was deleted.
        """
        fetched = self._get_or_none(
            name, lambda: self._fetch_range(name, f"bytes={start}-{stop - 1}")
        )
        if fetched is None:
            raise FileNotFoundError(name)
        data, size = fetched
        if len(data) == size > stop - start:
            return data[start:stop]  # the server ignores ranges
        if len(data) != stop - start:
            raise self._translate(name, S3ResponseError("a range of the object is incomplete"))
        return data

    def _key_of(self, name: str) -> str:
        check_name(name)
        return f"{self.prefix}/{name}" if self.prefix else name

    def _request(self, operation: str, **arguments: Any) -> Any:
        # A single attempt in boto3: the meaning of a 412 depends on whether the put was sent twice.
        client = self.connection.client(attempts=1, timeout=_TIMEOUT_S)
        return getattr(client, operation)(Bucket=self.bucket, **arguments)

    def _fetch(self, name: str) -> tuple[bytes, str]:
        response = self._request("get_object", Key=self._key_of(name))
        return read_body(response), etag_of(response)

    def _fetch_range(self, name: str, byte_range: str) -> tuple[bytes, int]:
        """Return the bytes of a range, and the size of the whole object."""
        from botocore.exceptions import ClientError

        try:
            response = self._request("get_object", Key=self._key_of(name), Range=byte_range)
        except ClientError as error:
            if is_range_invalid(error):
                return b"", 0  # the object is empty
            raise
        data = read_body(response)
        size = re.search(r"/(\d+)$", response.get("ContentRange", ""))
        return data, int(size[1]) if size else len(data)

    def _put(self, name: str, data: bytes, **condition: str) -> str:
        response = self._request("put_object", Key=self._key_of(name), Body=data, **condition)
        return etag_of(response)

    def _put_if(self, name: str, data: bytes, **condition: str) -> str | None:
        """Put on a condition; if an attempt had an unknown outcome, read the name back."""
        is_outcome_unknown = False
        for attempt in attempts(tries=_TRIES, cap=_MAX_WAIT_S):
            try:
                return self._put(name, data, **condition)
            except Exception as error:
                if is_condition_failed(error) or ("IfMatch" in condition and is_absent(error)):
                    # An earlier attempt with an unknown outcome may have written the name.
                    return self._find_own_write(name, data) if is_outcome_unknown else None
                if is_condition_unknown(error):
                    raise no_conditional_puts(self.uri) from error
                if not is_transient(error):
                    raise self._translate(name, error) from error
                is_outcome_unknown = is_outcome_unknown or may_be_executed(error)
                if attempt.is_last:
                    tag = self._find_own_write(name, data) if is_outcome_unknown else None
                    if tag is None:
                        raise self._translate(name, error) from error
                    return tag
        raise AssertionError("unreachable")

    def _find_own_write(self, name: str, data: bytes) -> str | None:
        """Return the ETag of a name if it has this content."""
        tagged = self.get_tagged(name)
        return tagged[1] if tagged and tagged[0] == data else None

    def _get_or_none(self, name: str, request: Callable[[], _T]) -> _T | None:
        """Return the result of a request, or None if the name does not exist."""
        from botocore.exceptions import ClientError

        def request_or_none() -> _T | None:
            try:
                return request()
            except ClientError as error:
                if is_absent(error):
                    return None
                raise

        return self._retry(name, request_or_none)

    def _retry(self, name: str, request: Callable[[], _T]) -> _T:
        for attempt in attempts(tries=_TRIES, cap=_MAX_WAIT_S):
            try:
                return request()
            except Exception as error:
                if attempt.is_last or not is_transient(error):
                    raise self._translate(name, error) from error
        raise AssertionError("unreachable")

    def _translate(self, name: str, error: Exception) -> Exception:
        """Return the error to raise for a failed request."""
        if not is_from_s3(error):
            return error
        target = f"{self.uri}/{name}".rstrip("/")
        message = f"cannot access the state at {target}"
        return StateError(explain(error, message, self.connection, _PERMISSIONS))
