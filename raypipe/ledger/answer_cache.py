"""Paid answers of models, kept as they arrive, so that nothing is paid for twice.

`cache/<group>/<key>.json` holds an answer, and `cache/<group>/<key>.spent-<8 hex>.json` the usage
alone of an answer that was paid for and is not kept. A group is a book, by the hash of its clean
text, so that one listing finds all that a book has.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from raypipe.state.store import State, check_name

log = logging.getLogger(__name__)

FOLDER = "cache"
VERSION = 1
"""Of an entry; one of another version is not read, but paid for again."""

_READERS = 16
_READ_AT_ONCE = 1_024  # answers that wait for their reader to be asked
_KEPT = re.compile(rf"{FOLDER}/[^/]+/([0-9a-f]{{64}})(\.spent-[0-9a-f]{{8}})?\.json")

T = TypeVar("T")
Read = Callable[[Mapping[str, Any]], T]
"""Makes an answer of its JSON; ValueError, KeyError, TypeError... = it is not believed."""
_UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True, slots=True)
class CallUsage:
    """What one call came to.

    Args:
        operation: What was asked for, as the key has it: `chat`, `embed`.
        model: The model's id without region prefix, as the prices know it.
        input_tokens: As the server counted them.
        output_tokens: The same.
    """

    operation: str
    model: str
    input_tokens: int
    output_tokens: int


def canonical(value: Any) -> bytes:
    """Return the one JSON of plain values: sorted, without spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def cache_key(asked: Mapping[str, Any]) -> str:
    """Return the key of a call: sha256 of operation, base model and exact body; 64 hex digits."""
    return hashlib.sha256(canonical(asked)).hexdigest()


def embeddings_group(key: str) -> str:
    """Return the group of an answer that belongs to no single book, by its key."""
    return f"embeddings-{key[:2]}"


@dataclass(frozen=True)
class AnswerCache:
    """Answers of models by what exactly was asked.

    Args:
        state: Where they are kept.
    """

    state: State

    def of(self, group: str, *, direct: bool = False) -> AnswerGroup:
        """Return the answers of a group.

        Args:
            group: A book's text hash, or `embeddings_group`; one component of a name.
            direct: Ask for each key by itself; else the first `get` lists the group once.
        """
        if "/" in group:
            raise ValueError(f"not a group of answers: {group!r}")
        check_name(group)
        return AnswerGroup(self.state, group, direct)


class AnswerGroup:
    """The answers of one group; safe for many threads. Made by `AnswerCache.of`."""

    def __init__(self, state: State, group: str, direct: bool) -> None:
        self._state = state
        self._folder = f"{FOLDER}/{group}/"
        self._direct = direct
        self._names: set[str] | None = None
        self._listing = threading.Lock()
        self._distrusted: set[str] = set()

    def get(self, key: str, read: Read[T]) -> T | None:
        """Return the kept answer as `read` makes it, or None: it must be asked for.

        Raises:
            StateError: The state could not be read.
        """
        name = self._name(key)
        if not self._direct and name not in self._listed():
            return None
        data = self._state.get(name)
        return None if data is None else self._believed(name, data, read)

    def put(self, key: str, answer: Mapping[str, Any], bill: CallUsage, read: Read[T]) -> T | None:
        """Keep an answer, or return the one that was kept before: the first counts.

        Args:
            key: Of `cache_key`.
            answer: Plain JSON values.
            bill: What it came to.
            read: As for `get`; a kept entry that it cannot read is replaced.

        Raises:
            StateError: The state could not be written.
        """
        name, mine = self._name(key), _entry(key, bill, answer)
        if self._state.put_if_absent(name, mine) is None:
            found = self._state.get_tagged(name)
            first = self._believed(name, found[0], read) if found else None
            if first is not None:
                self.spend(key, bill)  # this one was paid for as well
                return first
            if found:
                self._state.put_if_match(name, mine, found[1])
        if self._names is not None:
            self._names.add(name)
        return None

    def spend(self, key: str, bill: CallUsage) -> None:
        """Record what a call came to whose answer is not kept; no text is in it."""
        name = f"{self._folder}{key}.spent-{uuid.uuid4().hex[:8]}.json"
        self._state.put(name, canonical(_head(key, bill)))

    def _name(self, key: str) -> str:
        return f"{self._folder}{key}.json"

    def _listed(self) -> set[str]:
        with self._listing:  # calls of one group wait for its one listing
            if self._names is None:
                self._names = set(self._state.list(self._folder))
            return self._names

    def _believed(self, name: str, data: bytes, read: Read[T]) -> T | None:
        try:
            return read(_opened(name, data)["answer"])
        except _UNREADABLE as error:
            if name not in self._distrusted:
                self._distrusted.add(name)
                _log_damaged(name, error)
            return None


def list_entries(state: State) -> list[str]:
    """Return the names of everything that was ever paid for, `cache/<group>/...`, sorted.

    Raises:
        StateError: The state could not be listed.
    """
    return [name for name in state.list(f"{FOLDER}/") if _KEPT.fullmatch(name)]


def read_usage(state: State, names: Iterable[str]) -> Iterator[tuple[str, CallUsage]]:
    """Yield name and bill of what was paid for; a damaged one is passed over, and logged.

    Args:
        state: Where.
        names: Of `paid`.

    Raises:
        StateError: The state could not be read.
    """
    names = iter(names)
    with ThreadPoolExecutor(_READERS, "cache") as pool:
        while batch := list(islice(names, _READ_AT_ONCE)):
            for name, bill in zip(batch, pool.map(partial(_bill, state), batch), strict=True):
                if bill is not None:
                    yield name, bill


def spent(state: State, known: Collection[str] = ()) -> Iterator[tuple[str, CallUsage]]:
    """Yield name and bill of everything that was ever paid for, names in `known` left out."""
    return read_usage(state, (name for name in list_entries(state) if name not in known))


def _bill(state: State, name: str) -> CallUsage | None:
    data = state.get(name)
    try:
        return None if data is None else _bill_of(_opened(name, data))
    except _UNREADABLE as error:
        _log_damaged(name, error)
        return None


def _opened(name: str, data: bytes) -> dict[str, Any]:
    """Return an entry that is whole and stands under its own name.

    Raises:
        Exception: One of `_UNREADABLE`: it is damaged, or not one of ours.
    """
    entry: dict[str, Any] = json.loads(data)
    kept = _KEPT.fullmatch(name)
    if entry["version"] != VERSION or kept is None or entry["key"] != kept[1]:
        raise ValueError("another version or key")
    _bill_of(entry)
    if not kept[2] and entry["sha256"] != _digest(entry["answer"]):
        raise ValueError("another answer than was kept")
    return entry


def _bill_of(entry: Mapping[str, Any]) -> CallUsage:
    usage = entry["usage"]
    tokens = usage["input_tokens"], usage["output_tokens"]
    if not all(isinstance(count, int) and count >= 0 for count in tokens):
        raise ValueError("no usage")
    return CallUsage(str(entry["operation"]), str(entry["model"]), *tokens)


def _log_damaged(name: str, error: Exception) -> None:
    # Not the error's text: it may quote the answer.
    log.warning("%s is damaged or not raypipe's (%s); not believed", name, type(error).__name__)


def _head(key: str, bill: CallUsage) -> dict[str, Any]:
    return {
        "version": VERSION,
        "key": key,
        "operation": bill.operation,
        "model": bill.model,
        "usage": {"input_tokens": bill.input_tokens, "output_tokens": bill.output_tokens},
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _entry(key: str, bill: CallUsage, answer: Mapping[str, Any]) -> bytes:
    return canonical({**_head(key, bill), "sha256": _digest(answer), "answer": answer})


def _digest(answer: Any) -> str:
    return hashlib.sha256(canonical(answer)).hexdigest()
