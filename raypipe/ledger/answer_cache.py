"""Cache the answers of models as they arrive, so that no answer is paid for twice.

`cache/<group>/<key>.json` holds an answer, its usage, and the log that counts it (`usage_log`). It
is written before the answer is checked, so that no bill is lost; an answer that does not pass the
checks is never returned. `cache/<group>/<key>.spent-<8 hex>.json` holds only the usage of an answer
that was paid for and not kept, or replaced. A group is a book, named by the hash of its clean text,
so that a single listing finds all answers of a book with many.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from raypipe.ledger.call_usage import CallUsage
from raypipe.ledger.usage_log import record_call
from raypipe.state.store import State, check_name

log = logging.getLogger(__name__)

FOLDER = "cache"
VERSION = 1
"""Version of an entry. An entry of another version is ignored, and its answer is paid for again."""

MAX_LOOKUPS = 8
"""Answers of a book that are requested before its group is listed. A listing costs as much as 12.5
requests (prices of Amazon S3), and most books take one call, which looks for two keys."""
_THREADS = 16
_READ_BATCH = 1_024  # entries that are requested before the first of them is returned
_ENTRY_NAME = re.compile(rf"{FOLDER}/[^/]+/([0-9a-f]{{64}})(\.spent-[0-9a-f]{{8}})?\.json")

T = TypeVar("T")
ParseAnswer = Callable[[Mapping[str, Any]], T]
"""Parses the JSON of an answer; raises ValueError, KeyError or TypeError if it is not valid, and
`RejectedAnswerError` if it is valid but does not pass the checks."""
_INVALID_ENTRY_ERRORS = (ValueError, LookupError, TypeError, AttributeError, RecursionError)


class RejectedAnswerError(ValueError):
    """A cached answer is intact, but does not pass the checks; it is paid for again."""


def canonical(value: Any) -> bytes:
    """Return the only JSON form of plain values that is hashed: sorted, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def cache_key(call: Mapping[str, Any]) -> str:
    """Return the key of a call: SHA-256 of operation, base model and exact body; 64 hex digits."""
    return hashlib.sha256(canonical(call)).hexdigest()


def embeddings_group(key: str) -> str:
    """Return the group of an answer that belongs to no single book, by its key."""
    return f"embeddings-{key[:2]}"


@dataclass(frozen=True)
class AnswerCache:
    """Answers of models, by the exact call.

    Args:
        state: Where the answers are kept.
    """

    state: State

    def group(self, name: str, *, direct: bool = False) -> AnswerGroup:
        """Return the answers of a group.

        Args:
            name: Text hash of a book, or `embeddings_group`; a single component of a name.
            direct: Whether to request each key from the state. If False, the group is listed
                after `MAX_LOOKUPS` requests, and only existing keys are requested from then on.

        Raises:
            ValueError: The name is not a single component of a name.
        """
        if "/" in name:
            raise ValueError(f"invalid name of a cache group: {name!r}")
        check_name(name)
        return AnswerGroup(self.state, name, direct)


class AnswerGroup:
    """The answers of a group, from `AnswerCache.group`. May be shared by threads."""

    def __init__(self, state: State, name: str, direct: bool) -> None:
        self._state = state
        self._folder = f"{FOLDER}/{name}/"
        self._direct = direct
        self._names: set[str] | None = None
        self._lookups = 0
        self._listing = threading.Lock()
        self._reported: set[str] = set()

    def get(self, key: str, parse: ParseAnswer[T]) -> T | None:
        """Return a cached answer, or None if there is no valid answer.

        Args:
            key: From `cache_key`.
            parse: Parses the answer; an answer for which it raises is ignored.

        Raises:
            StateError: The state cannot be read.
        """
        name = self._name_of(key)
        if not self._may_exist(name):
            return None
        data = self._state.get(name)
        return None if data is None else self._parse_entry(name, data, parse)

    def put(
        self, key: str, answer: Mapping[str, Any], usage: CallUsage, parse: ParseAnswer[T]
    ) -> T | None:
        """Cache an answer, unless there is a valid answer already: the first answer counts.

        Args:
            key: From `cache_key`.
            answer: Plain JSON values.
            usage: Tokens of the call.
            parse: As for `get`; a cached answer for which it raises is replaced, and its usage
                recorded.

        Returns:
            The earlier answer, or None if this answer was cached.

        Raises:
            StateError: The state cannot be written.
        """
        usage = self._log(usage)  # first: a kill may lose the answer, but never the bill
        name, entry = self._name_of(key), _encode_entry(key, usage, answer)
        # Without a sync: a power failure may cost the answers of the last seconds.
        if self._state.put_if_absent(name, entry, durable=False) is None:
            existing = self._state.get_tagged(name)
            first = self._parse_entry(name, existing[0], parse) if existing else None
            if first is not None:
                self._put_spent(key, usage)  # this answer was paid for as well
                return first
            if existing:
                self._record_replaced(key, existing[0])
                self._state.put_if_match(name, entry, existing[1])
        if self._names is not None:
            self._names.add(name)
        return None

    def record_usage(self, key: str, usage: CallUsage) -> None:
        """Record the tokens of a call whose answer is not cached. The record contains no text.

        Raises:
            StateError: The state cannot be written.
        """
        self._put_spent(key, self._log(usage))

    def _log(self, usage: CallUsage) -> CallUsage:
        tokens = usage.input_tokens, usage.output_tokens
        log_id = record_call(self._state, usage.kind.model, *tokens, tier=usage.tier)
        return replace(usage, log_id=log_id)

    def _put_spent(self, key: str, usage: CallUsage) -> None:
        name = f"{self._folder}{key}.spent-{uuid.uuid4().hex[:8]}.json"
        self._state.put(name, canonical(_header(key, usage)))

    def _record_replaced(self, key: str, data: bytes) -> None:
        """Record the usage of an entry that is replaced: its answer was paid for as well."""
        try:
            usage = CallUsage.from_entry(json.loads(data))
        except _INVALID_ENTRY_ERRORS:
            return
        self._put_spent(key, usage)

    def _name_of(self, key: str) -> str:
        return f"{self._folder}{key}.json"

    def _may_exist(self, name: str) -> bool:
        """Return whether to request a name; list the group once that is cheaper."""
        if self._direct:
            return True
        with self._listing:  # all calls of a group wait for the same listing
            self._lookups += 1
            if self._names is None and self._lookups > MAX_LOOKUPS:
                self._names = set(self._state.list(self._folder))
            return self._names is None or name in self._names

    def _parse_entry(self, name: str, data: bytes, parse: ParseAnswer[T]) -> T | None:
        try:
            return parse(_decode_entry(name, data)["answer"])
        except RejectedAnswerError as error:
            log.debug("the cached answer %s is not used: %s", name, error)
            return None
        except _INVALID_ENTRY_ERRORS as error:
            if name not in self._reported:
                self._reported.add(name)
                _log_invalid(name, error)
            return None


def list_entries(state: State, prefix: str = "") -> list[str]:
    """Return the names of the entries in groups that begin with a prefix, sorted.

    Raises:
        StateError: The state cannot be listed.
    """
    return [name for name in state.list(f"{FOLDER}/{prefix}") if _ENTRY_NAME.fullmatch(name)]


def read_usage(state: State, names: Iterable[str]) -> Iterator[tuple[str, CallUsage]]:
    """Yield the name and the usage of each entry; an invalid entry is logged and skipped.

    Raises:
        StateError: The state cannot be read.
    """
    names = iter(names)
    with ThreadPoolExecutor(_THREADS, "cache") as pool:
        while batch := list(islice(names, _READ_BATCH)):
            usages = pool.map(partial(_read_entry_usage, state), batch)
            for name, usage in zip(batch, usages, strict=True):
                if usage is not None:
                    yield name, usage


def _read_entry_usage(state: State, name: str) -> CallUsage | None:
    data = state.get(name)
    try:
        return None if data is None else CallUsage.from_entry(_decode_entry(name, data))
    except _INVALID_ENTRY_ERRORS as error:
        _log_invalid(name, error)
        return None


def _decode_entry(name: str, data: bytes) -> dict[str, Any]:
    """Return an entry, after checking that it is intact and has its own name.

    Raises:
        Exception: Any of `_INVALID_ENTRY_ERRORS`: the entry is damaged or foreign.
    """
    entry: dict[str, Any] = json.loads(data)
    match = _ENTRY_NAME.fullmatch(name)
    if entry["version"] != VERSION or match is None or entry["key"] != match[1]:
        raise ValueError("the version or the key differs")
    CallUsage.from_entry(entry)
    if not match[2] and entry["sha256"] != _digest(entry["answer"]):
        raise ValueError("the hash of the answer differs")
    return entry


def _log_invalid(name: str, error: Exception) -> None:
    # Without the message of the error, which may quote the answer.
    log.warning("ignored the cache entry %s: damaged or foreign (%s)", name, type(error).__name__)


def _encode_entry(key: str, usage: CallUsage, answer: Mapping[str, Any]) -> bytes:
    return canonical({**_header(key, usage), "sha256": _digest(answer), "answer": answer})


def _header(key: str, usage: CallUsage) -> dict[str, Any]:
    return {"version": VERSION, "key": key, **usage.to_entry()}


def _digest(answer: Any) -> str:
    return hashlib.sha256(canonical(answer)).hexdigest()
