"""Files that appear only when they are complete: on this machine or on S3."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from raypipe.core.errors import OptionError, SetupError
from raypipe.core.s3 import S3Connection, explain
from raypipe.state.s3_errors import error_code, is_condition_failed, is_from_s3

PART_BYTES = 16 << 20
"""Bytes of a part of an upload. S3 takes 10,000 parts, so a file may have 160 GB."""

_MAX_PART_BYTES = 4 * PART_BYTES
_EXISTS = "exists already. Fix: give another name, or add overwrite=true"
_PROBE_CODES = ("404", "NoSuchKey", "NotFound")


@contextmanager
def open_target(
    to: str, connection: S3Connection | None = None, *, overwrite: bool = False
) -> Iterator[Any]:
    """Yield a binary file to write; it gets its name when the block ends without an error.

    Args:
        to: A file, or `s3://bucket/key`.
        connection: How S3 is reached; None for boto3's defaults.
        overwrite: Whether a file of this name is replaced.

    Raises:
        OptionError: The file exists, and is not to be replaced.
        SetupError: It cannot be written.
    """
    opened = _open_s3(to, connection or S3Connection(), overwrite) if is_s3(to) else None
    with opened or _open_local(Path(to), overwrite) as file:
        yield file


def is_s3(to: str) -> bool:
    """Return whether a target is on S3."""
    return to.startswith("s3://")


@contextmanager
def _open_local(path: Path, overwrite: bool) -> Iterator[BinaryIO]:
    # Unlike those of Path, these raise no error if a folder above cannot be read.
    if os.path.exists(path) and not overwrite:  # noqa: PTH110
        raise OptionError(f"to={path} {_EXISTS}")
    if os.path.exists(path) and not os.path.isfile(path):  # noqa: PTH110, PTH113
        raise OptionError(f"to={path} is not a regular file. Fix: give another name")
    temporary = path.parent / f".{path.name}-{uuid.uuid4().hex}.tmp"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if overwrite:
            temporary.replace(path)
        else:
            _rename_new(temporary, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SetupError(f"to={path} cannot be written: {reason}") from None
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _rename_new(temporary: Path, path: Path) -> None:
    """Give a file its name; unlike a rename, a link fails if the name was taken meanwhile."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise OptionError(f"to={path} {_EXISTS}") from None
    except OSError:  # a file system without links
        if path.exists():
            raise OptionError(f"to={path} {_EXISTS}") from None
        temporary.rename(path)


@contextmanager
def _open_s3(to: str, connection: S3Connection, overwrite: bool) -> Iterator[S3Upload]:
    bucket, _, key = to.removeprefix("s3://").partition("/")
    try:
        upload = S3Upload(connection.client(), bucket, key, overwrite=overwrite)
        if not overwrite and upload.exists():
            raise OptionError(f"to={to} {_EXISTS}")
        try:
            yield upload
            upload.finish()
        except BaseException:
            upload.abort()
            raise
    except Exception as error:
        if is_condition_failed(error):
            raise OptionError(f"to={to} {_EXISTS}") from None
        if not is_from_s3(error):
            raise
        raise SetupError(explain(error, f"to={to}", connection, "s3:PutObject")) from None


class S3Upload:
    """A file whose bytes are sent to S3 in parts; the object appears when all parts are there.

    Args:
        client: A boto3 client.
        bucket: Name of the bucket.
        key: Key of the object.
        overwrite: Whether an object with this key is replaced.
    """

    closed = False  # pyarrow asks for it

    def __init__(self, client: Any, bucket: str, key: str, *, overwrite: bool) -> None:
        self._client = client
        self._object = {"Bucket": bucket, "Key": key}
        self._condition = {} if overwrite else {"IfNoneMatch": "*"}
        self._buffer = bytearray()
        self._size = 0
        self._upload_id = ""
        self._parts: list[dict[str, Any]] = []

    def exists(self) -> bool:
        """Return whether there is an object with this key."""
        try:
            self._client.head_object(**self._object)
        except Exception as error:
            if error_code(error) in _PROBE_CODES:
                return False
            raise
        return True

    def write(self, data: Any) -> int:
        """Add bytes, and send those that fill a part."""
        view = memoryview(data).cast("B")
        self._buffer += view
        self._size += len(view)
        while len(self._buffer) >= PART_BYTES:
            self._send(min(len(self._buffer), _MAX_PART_BYTES))
        return len(view)

    def tell(self) -> int:
        """Return the number of bytes that were written."""
        return self._size

    def flush(self) -> None:
        """Do nothing: the parts have a least size."""

    def writable(self) -> bool:
        """Return True."""
        return True

    def finish(self) -> None:
        """Send the rest; from now on there is an object with this key."""
        if not self._upload_id:
            body = bytes(self._buffer)
            self._client.put_object(**self._object, Body=body, **self._condition)
            return
        if self._buffer:
            self._send(len(self._buffer))
        self._client.complete_multipart_upload(
            **self._object,
            UploadId=self._upload_id,
            MultipartUpload={"Parts": self._parts},
            **self._condition,
        )

    def abort(self) -> None:
        """Delete the parts that were sent."""
        if self._upload_id:
            # The first error says more; a lifecycle rule of the bucket removes what stays.
            with suppress(Exception):
                self._client.abort_multipart_upload(**self._object, UploadId=self._upload_id)

    def _send(self, size: int) -> None:
        if not self._upload_id:
            self._upload_id = self._client.create_multipart_upload(**self._object)["UploadId"]
        body, number = bytes(self._buffer[:size]), len(self._parts) + 1
        del self._buffer[:size]
        send: Callable[..., Any] = self._client.upload_part
        tag = send(**self._object, UploadId=self._upload_id, PartNumber=number, Body=body)["ETag"]
        self._parts.append({"PartNumber": number, "ETag": tag})
