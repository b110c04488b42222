"""Open the state at a URI."""

from __future__ import annotations

from raypipe.core.s3 import S3Connection
from raypipe.state.local import LocalState
from raypipe.state.s3 import S3State
from raypipe.state.store import State


def open_state(uri: str, connection: S3Connection | None = None) -> State:
    """Return the state at a URI.

    Args:
        uri: A folder, or `s3://bucket/prefix`.
        connection: How S3 is reached; None for boto3's defaults.

    Raises:
        ValueError: The URI is neither.
    """
    scheme, separator, place = uri.partition("://")
    if not separator:
        return LocalState(uri)
    bucket, _, prefix = place.partition("/")
    if scheme != "s3" or not bucket:
        raise ValueError(f"state.uri={uri}: set a folder or s3://bucket/prefix")
    return S3State(bucket, prefix.strip("/"), connection or S3Connection())
