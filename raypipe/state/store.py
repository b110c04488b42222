"""The object store of a state: a folder or a prefix on S3, holding ledger, documents and lock."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable
from typing import BinaryIO, Protocol, TypeAlias

from raypipe.core.errors import SetupError
from raypipe.core.json_record import read_object

STATE_VERSION = 1
"""Version of the layout; increase it if an older raypipe could not read the state."""

IDENTITY = "state.json"

COPY_MARKER = "copy.json"
"""Object of a state that was copied from another place, see `raypipe.ledger.state_copy`."""

Names: TypeAlias = list[str]  # inside a class with a method `list`, list[str] means the method


class StateError(SetupError):
    """The state cannot be read or written; the message is one line with the cause and the fix."""


class State(Protocol):
    """Named bytes, with the two conditional puts that the writer lock and the cache need.

    Names are relative, with `/` between folders; no component is empty or begins with a dot.
    A put is atomic, and durable when it returns. With `durable=False` it survives the end of the
    process, but a power failure may lose it or leave its name with damaged bytes; a durable put
    takes a disk about 10 ms. A tag changes with the content; equal content may have an equal
    tag. Every method may raise `StateError`. An object may be shared by
    threads, and workers get a pickled copy.
    """

    @property
    def uri(self) -> str:
        """Absolute folder or `s3://bucket/prefix`, for messages."""

    def get(self, name: str) -> bytes | None:
        """Return the bytes of a name, or None if it does not exist."""

    def get_tagged(self, name: str) -> tuple[bytes, str] | None:
        """Return the bytes of a name and their tag, or None if it does not exist."""

    def open(self, name: str) -> BinaryIO | None:
        """Return a seekable reader of a name, or None if it does not exist.

        The reader fetches only the ranges that are read. It raises FileNotFoundError if the name
        was deleted in the meantime.
        """

    def put(self, name: str, data: bytes, *, durable: bool = True) -> None:
        """Write a name, replacing its content."""

    def put_if_absent(self, name: str, data: bytes, *, durable: bool = True) -> str | None:
        """Create a name and return its tag, or None if it exists."""

    def put_if_match(self, name: str, data: bytes, tag: str, *, durable: bool = True) -> str | None:
        """Replace the content if it still has this tag; return the new tag, or None."""

    def delete(self, names: Iterable[str]) -> None:
        """Delete names; a name that does not exist is not an error."""

    def check(self) -> None:
        """Raise `SetupError` if this place cannot be written."""

    def list(self, prefix: str = "") -> Names:
        """Return all names that begin with `prefix`, sorted.

        A name that existed when the call began is returned, unless it was deleted since. If it
        was, then every name that sorts after it and was written before the deletion is returned.
        Compaction depends on this, see `raypipe.state.parquet_table`.
        """

    def list_sizes(self, prefix: str = "") -> dict[str, int]:
        """Return the size in bytes of each name that `list` returns."""


def state_id(state: State) -> str:
    """Return the id of a state; create it on first use.

    Raises:
        SetupError: The state has another layout version, its `state.json` is damaged, or it is
            an incomplete copy.
    """
    data = state.get(IDENTITY)
    if data is None and state.get(COPY_MARKER) is not None:
        raise SetupError(
            f"the copy of a state at {state.uri} is not complete; run the same "
            "`raypipe state copy` again, or set state.uri to another folder or prefix"
        )
    if data is None:
        new = {"id": str(uuid.uuid4()), "version": STATE_VERSION, "created_at": _now()}
        state.put_if_absent(IDENTITY, json.dumps(new, indent=1).encode())
        data = state.get(IDENTITY) or b""  # of another process, if that was faster
    try:
        identity = read_object(data)
        version, name = int(identity["version"]), identity["id"]
        if not name or not isinstance(name, str):
            raise ValueError("the id is no text")
    except (ValueError, KeyError, TypeError):
        raise SetupError(
            f"{IDENTITY} in the state {state.uri} is damaged; restore it from a backup, or set "
            "state.uri to an empty folder or prefix"
        ) from None
    if version != STATE_VERSION:
        raise SetupError(
            f"the state {state.uri} has version {version}, but this raypipe reads version "
            f"{STATE_VERSION}; use the raypipe that wrote it, or set state.uri to another folder "
            "or prefix"
        )
    return name


def check_name(name: str) -> str:
    """Return a name of an object if it is valid.

    Raises:
        ValueError: The name is empty or absolute, points outside of the state, or has a
            component that begins with a dot.
    """
    if "\0" in name or "\\" in name:
        raise ValueError(f"invalid name of an object in a state: {name!r}")
    if any(not part or part.startswith(".") for part in name.split("/")):
        raise ValueError(f"invalid name of an object in a state: {name!r}")
    return name


def check_conditional_puts(state: State) -> None:
    """Write, replace and delete a probe, to check that the conditions of puts are honored.

    Some servers with the S3 API ignore the conditions; two runs could then hold the writer lock.

    Raises:
        SetupError: The conditions are ignored.
        StateError: The state cannot be written.
    """
    probe = f"probe/{uuid.uuid4().hex}"
    tag = state.put_if_absent(probe, b"1")
    try:
        created_twice = state.put_if_absent(probe, b"2")
        replaced_with_stale_tag = state.put_if_match(probe, b"3", '"0"')
        replaced = state.put_if_match(probe, b"4", tag or "")
    finally:
        state.delete([probe])
    are_ignored = created_twice is not None or replaced_with_stale_tag is not None
    if are_ignored or tag is None or replaced is None:
        raise no_conditional_puts(state.uri)


def no_conditional_puts(uri: str) -> StateError:
    """Return the error about a server with the S3 API that ignores or refuses conditions."""
    return StateError(
        f"{uri} does not honor conditional writes (If-None-Match, If-Match), which keep two runs "
        "from writing the same ledger; use Amazon S3 or a newer server, or set state.uri to a "
        "folder"
    )


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
