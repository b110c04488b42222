"""Where the ledger, the documents and the claim are kept: a folder, or a prefix on S3."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable
from typing import BinaryIO, Protocol, TypeAlias

from raypipe.core.errors import SetupError
from raypipe.core.s3 import S3Connection

STATE_VERSION = 1
"""Layout of a state folder; raised when an older raypipe could no longer read it."""

IDENTITY = "state.json"

Names: TypeAlias = list[str]  # a class with a method `list` cannot say list[str]


class StateError(SetupError):
    """The state could not be read or written: what happened, and the way out."""


class State(Protocol):
    """Named bytes, with the two conditional puts that a claim and a cache need.

    Names are relative, with `/` between folders; no component is empty or begins with a dot.
    A put is whole or not there at all, and durable when it returns. A tag changes with the
    content, and equal content may have an equal tag. Every method may raise `StateError`; one
    object serves the driver's threads and, pickled, the workers.
    """

    @property
    def uri(self) -> str:
        """Name this place for people: an absolute folder or `s3://bucket/prefix`."""

    def get(self, name: str) -> bytes | None:
        """Return the bytes of a name, or None where there is none."""

    def get_tagged(self, name: str) -> tuple[bytes, str] | None:
        """Return the bytes and their tag, or None where there is none."""

    def open(self, name: str) -> BinaryIO | None:
        """Return a seekable reader that fetches no more than is read, or None.

        Reading on raises FileNotFoundError if the name is deleted meanwhile.
        """

    def put(self, name: str, data: bytes) -> None:
        """Write, whatever was there."""

    def put_if_absent(self, name: str, data: bytes) -> str | None:
        """Write and return the tag, or None if the name is taken."""

    def put_if_match(self, name: str, data: bytes, tag: str) -> str | None:
        """Replace what has this tag and return the new one, or None if it is another's by now."""

    def delete(self, names: Iterable[str]) -> None:
        """Delete names; those that are gone already are no error."""

    def check(self) -> None:
        """Raise `SetupError` with the way out unless this place can be written."""

    def list(self, prefix: str = "") -> Names:
        """Return all names that begin with `prefix`, every page, sorted.

        A name that was there when the call began is returned, unless it was deleted; and if it
        was, whatever had been written before the deletion under a name that sorts after it is
        returned. Compaction leans on this: see `raypipe.state.parquet_table`.
        """


def open_state(uri: str, connection: S3Connection | None = None) -> State:
    """Return the state at a place.

    Args:
        uri: A folder, or `s3://bucket/prefix`.
        connection: How S3 is reached; None = boto3's defaults.

    Raises:
        ValueError: The uri is neither.
    """
    scheme, separator, place = uri.partition("://")
    if not separator:
        from raypipe.state.local import LocalState

        return LocalState(uri)
    bucket, _, prefix = place.partition("/")
    if scheme != "s3" or not bucket:
        raise ValueError(f"state.uri={uri}: give a folder or s3://bucket/prefix")
    from raypipe.state.s3 import S3State

    return S3State(bucket, prefix.strip("/"), connection or S3Connection())


def state_id(state: State) -> str:
    """Return the id of a state, made on first use.

    Raises:
        SetupError: The state was laid out by another version of raypipe, or its `state.json`
            is damaged.
    """
    found = state.get(IDENTITY)
    if found is None:
        mine = {"id": str(uuid.uuid4()), "version": STATE_VERSION, "created_at": _now()}
        state.put_if_absent(IDENTITY, json.dumps(mine, indent=1).encode())
        found = state.get(IDENTITY) or b""  # another's, if it came first
    try:
        identity = json.loads(found)
        version, name = int(identity["version"]), str(identity["id"])
    except (ValueError, KeyError, TypeError):
        raise SetupError(
            f"{IDENTITY} in the state {state.uri} is damaged; bring it back from a copy, or set "
            "state.uri to an empty place"
        ) from None
    if version != STATE_VERSION:
        raise SetupError(
            f"the state {state.uri} has version {version} and this raypipe reads version "
            f"{STATE_VERSION}; use the raypipe that wrote it, or set state.uri to another place"
        )
    return name


def check_name(name: str) -> str:
    """Return the name if it is one.

    Raises:
        ValueError: It is empty, absolute, leaves the state, or has a hidden component.
    """
    if "\0" in name or "\\" in name:
        raise ValueError(f"not a name in a state: {name!r}")
    if any(not part or part.startswith(".") for part in name.split("/")):
        raise ValueError(f"not a name in a state: {name!r}")
    return name


def check_conditional(state: State) -> None:
    """Write, replace and delete a probe, and see that both conditions are honored.

    Some servers that speak S3 ignore the conditions; two runs would then hold one claim.

    Raises:
        SetupError: The conditions are ignored.
        StateError: The place cannot be written.
    """
    probe = f"probe/{uuid.uuid4().hex}"
    tag = state.put_if_absent(probe, b"1")
    try:
        again = state.put_if_absent(probe, b"2")
        stale = state.put_if_match(probe, b"3", '"0"')
        fresh = state.put_if_match(probe, b"4", tag or "")
    finally:
        state.delete([probe])
    if tag is None or again is not None or stale is not None or fresh is None:
        raise SetupError(
            f"{state.uri} does not honor conditional writes (If-None-Match, If-Match), without "
            "which two runs could write one ledger; use Amazon S3 or a newer server, or set "
            "state.uri to a folder"
        )


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
