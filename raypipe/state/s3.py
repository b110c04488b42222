"""A state under a prefix of an S3 bucket, with S3's own conditional puts."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO, TypeVar, cast

from raypipe.core.retry import TRANSIENT_STATUS, full_jitter
from raypipe.core.s3 import S3Connection, explain
from raypipe.state.store import Names, StateError, check_conditional, check_name

_TRIES = 5
_TIMEOUT_S = 20.0
_LONGEST_WAIT_S = 5.0
_DELETE_AT_ONCE = 1_000  # DeleteObjects takes no more
_TAIL = 1 << 20  # one request brings a small part whole, or the footer of a large one

_ABSENT = frozenset({"NoSuchKey", "404", "NotFound"})
_TAKEN = frozenset({"PreconditionFailed", "412"})
# A 409 means that another write was under way; Amazon asks to repeat: "Prevent object
# overwrites with conditional writes", S3 User Guide.
_TRANSIENT = frozenset(
    {"ConditionalRequestConflict", "OperationAborted", "RequestTimeout", "InternalError"}
    | {"SlowDown", "ServiceUnavailable", "Throttling", "ThrottlingException"}
)
_FORBIDDEN = frozenset({"AccessDenied", "403", "AllAccessDisabled"})

_T = TypeVar("_T")


@dataclass(frozen=True)
class S3State:
    """A state under a prefix of a bucket.

    It holds settings alone; each process makes its client on first use.

    Args:
        bucket: The bucket's name.
        prefix: What all keys begin with, no slash at its ends; empty = the whole bucket.
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
        """Return the bytes of a name, or None."""
        found = self.get_tagged(name)
        return found[0] if found else None

    def get_tagged(self, name: str) -> tuple[bytes, str] | None:
        """Return the bytes and the ETag of a name, or None."""
        return self._absent(name, lambda: self._fetch(name))

    def open(self, name: str) -> BinaryIO | None:
        """Return a reader of a name that fetches the ranges it is asked for, or None."""
        tail = self._absent(name, lambda: self._fetch_range(name, f"bytes=-{_TAIL}"))
        if tail is None:
            return None
        return cast(BinaryIO, _Reader(self, name, *tail))

    def put(self, name: str, data: bytes) -> None:
        """Write, whatever was there."""
        self._tried(name, lambda: self._put(name, data))

    def put_if_absent(self, name: str, data: bytes) -> str | None:
        """Write and return the ETag, or None if the name is taken."""
        return self._put_on(name, data, IfNoneMatch="*")

    def put_if_match(self, name: str, data: bytes, tag: str) -> str | None:
        """Replace what has this ETag and return the new one, or None."""
        return self._put_on(name, data, IfMatch=tag)

    def delete(self, names: Iterable[str]) -> None:
        """Delete names; those that are gone already are no error."""
        keys = [{"Key": self._key(name)} for name in names]
        for start in range(0, len(keys), _DELETE_AT_ONCE):
            batch = {"Objects": keys[start : start + _DELETE_AT_ONCE], "Quiet": True}
            answer = self._tried("", partial(self._ask, "delete_objects", Delete=batch))
            for error in answer.get("Errors", ()):
                code, key = error.get("Code", ""), error.get("Key", "")
                raise StateError(
                    f"the state at s3://{self.bucket}/{key} cannot be deleted ({code}); the "
                    "credentials need s3:DeleteObject there"
                )

    def check(self) -> None:
        """Write, replace and delete a probe.

        Raises:
            SetupError: No such bucket, no credentials, no permission, or conditions ignored.
        """
        check_conditional(self)

    def list(self, prefix: str = "") -> Names:
        """Return all names that begin with `prefix`, every page, sorted.

        S3 lists in order and consistently, so what sorts after a name that was deleted
        meanwhile is seen as it is at that time or later.
        """
        root = f"{self.prefix}/" if self.prefix else ""
        found: Names = []
        more: dict[str, str] = {}
        while True:
            asked = {"Prefix": root + prefix, **more}
            page = self._tried(prefix, partial(self._ask, "list_objects_v2", **asked))
            found.extend(entry["Key"][len(root) :] for entry in page.get("Contents", ()))
            if not page.get("IsTruncated"):
                return sorted(found)
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def read_range(self, name: str, start: int, stop: int) -> bytes:
        """Return the bytes from `start` up to `stop`.

        Raises:
            FileNotFoundError: The name was deleted.
        """
        found = self._absent(name, lambda: self._fetch_range(name, f"bytes={start}-{stop - 1}"))
        if found is None:
            raise FileNotFoundError(name)
        return found[0]

    def _key(self, name: str) -> str:
        check_name(name)
        return f"{self.prefix}/{name}" if self.prefix else name

    def _ask(self, operation: str, **arguments: Any) -> Any:
        # One try in boto3: whether a conditional put went out twice decides what a 412 means.
        client = self.connection.client(attempts=1, timeout=_TIMEOUT_S)
        return getattr(client, operation)(Bucket=self.bucket, **arguments)

    def _fetch(self, name: str) -> tuple[bytes, str]:
        answer = self._ask("get_object", Key=self._key(name))
        return answer["Body"].read(), str(answer["ETag"])

    def _fetch_range(self, name: str, what: str) -> tuple[bytes, int]:
        """Return the bytes of a range and the size of the whole."""
        from botocore.exceptions import ClientError

        try:
            answer = self._ask("get_object", Key=self._key(name), Range=what)
        except ClientError as error:
            if _code(error) in ("InvalidRange", "416"):
                return b"", 0  # a range of nothing
            raise
        data = answer["Body"].read()
        total = re.search(r"/(\d+)$", answer.get("ContentRange", ""))
        return data, int(total[1]) if total else len(data)

    def _put(self, name: str, data: bytes, **condition: str) -> str:
        answer = self._ask("put_object", Key=self._key(name), Body=data, **condition)
        return str(answer["ETag"])

    def _put_on(self, name: str, data: bytes, **condition: str) -> str | None:
        """Put on a condition; a try of unknown outcome is settled by reading back."""
        unknown = False
        for attempt in range(1, _TRIES + 1):
            try:
                return self._put(name, data, **condition)
            except Exception as error:
                if _code(error) in _TAKEN or ("IfMatch" in condition and _code(error) in _ABSENT):
                    # After a try of unknown outcome it may be our own write that is in the way.
                    return self._mine(name, data) if unknown else None
                if not _transient(error):
                    raise self._error(name, error) from error
                unknown = unknown or _code(error) not in ("ConditionalRequestConflict", "SlowDown")
                if attempt == _TRIES:
                    mine = self._mine(name, data) if unknown else None
                    if mine is None:
                        raise self._error(name, error) from error
                    return mine
            time.sleep(full_jitter(attempt, cap=_LONGEST_WAIT_S))
        raise AssertionError("unreachable")

    def _mine(self, name: str, data: bytes) -> str | None:
        found = self.get_tagged(name)
        return found[1] if found and found[0] == data else None

    def _absent(self, name: str, request: Callable[[], _T]) -> _T | None:
        from botocore.exceptions import ClientError

        def asked() -> _T | None:
            try:
                return request()
            except ClientError as error:
                if _code(error) in _ABSENT:
                    return None
                raise

        return self._tried(name, asked)

    def _tried(self, name: str, request: Callable[[], _T]) -> _T:
        for attempt in range(1, _TRIES + 1):
            try:
                return request()
            except Exception as error:
                if attempt == _TRIES or not _transient(error):
                    raise self._error(name, error) from error
            time.sleep(full_jitter(attempt, cap=_LONGEST_WAIT_S))
        raise AssertionError("unreachable")

    def _error(self, name: str, error: Exception) -> Exception:
        if not _from_s3(error):
            return error  # a bug of ours keeps its own face
        what = f"the state at {self.uri}/{name}".rstrip("/")
        if _code(error) in _FORBIDDEN:
            return StateError(
                f"{what}: not permitted (403); the credentials need s3:ListBucket on the bucket "
                "and s3:GetObject, s3:PutObject and s3:DeleteObject under the prefix"
            )
        return StateError(explain(error, what, self.connection))


class _Reader(io.RawIOBase):
    """A seekable reader of one object: its tail is here, other ranges are fetched when read."""

    def __init__(self, state: S3State, name: str, tail: bytes, size: int) -> None:
        super().__init__()
        self._state, self._name, self._tail, self._size = state, name, tail, size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        stop = self._size if size is None or size < 0 else min(self._size, self._at + size)
        start, self._at = self._at, max(stop, self._at)
        if start >= stop:
            return b""
        here = self._size - len(self._tail)  # where the tail begins
        if start >= here:
            return self._tail[start - here : stop - here]
        fetched = self._state.read_range(self._name, start, min(stop, here))
        return fetched + self._tail[: max(0, stop - here)]

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _code(error: Exception) -> str:
    response = getattr(error, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def _from_s3(error: Exception) -> bool:
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError

    return isinstance(error, (BotoCoreError, ClientError, HTTPError, ConnectionError))


def _transient(error: Exception) -> bool:
    """Whether the same request may succeed a moment later."""
    from botocore import exceptions as aws
    from urllib3.exceptions import HTTPError

    if isinstance(error, aws.ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return status in TRANSIENT_STATUS or _code(error) in _TRANSIENT
    if isinstance(error, aws.SSLError):
        return False  # a wrong certificate stays wrong
    network = (aws.ConnectionError, aws.HTTPClientError, aws.IncompleteReadError)
    return isinstance(error, (*network, HTTPError, ConnectionError))
