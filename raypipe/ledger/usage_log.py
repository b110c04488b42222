"""Record the tokens of paid calls, so that a run with a budget need not list all answers.

Each process has a log, `usage/log-<32 hex>.json`, with the sums of its calls. The log is written
before the answer of a call is cached, and the cached answer names it: such an answer is not counted
a second time. Calls that end at the same time share a write.

A run that adds up the logs closes each of them first. A process that still runs cannot write to a
closed log any more; it begins another one with the calls that the closed log lacks. So each call is
counted once, whatever process is killed at whatever moment.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from raypipe.core.per_process import cached_per_process
from raypipe.ledger.token_sums import CallKind, TokenSums
from raypipe.state.store import State, StateError

log = logging.getLogger(__name__)

FOLDER = "usage"
PREFIX = f"{FOLDER}/log-"
VERSION = 1

_SUFFIX = ".json"
_INVALID_LOG_ERRORS = (ValueError, LookupError, TypeError, RecursionError)
_THREADS = 16
_SYNC_INTERVAL_S = 1.0
"""A power failure may cost the counts of this many seconds; a sync for each call costs the calls
as much time as a fast model."""
_MAX_TRIES = 20  # of a write, or of closing a log that its process writes to


def record_call(
    state: State, model: str, input_tokens: int, output_tokens: int, tier: str = "default"
) -> str:
    """Record the tokens of a paid call in the log of this process, so that a kill loses nothing.

    Args:
        state: Where the log is kept.
        model: Model id or inference profile id.
        input_tokens: Input tokens.
        output_tokens: Output tokens.
        tier: Service tier.

    Returns:
        The id of the log that has the call.

    Raises:
        StateError: The state cannot be written.
    """
    kind = CallKind(time.strftime("%Y-%m-%d", time.gmtime()), model, tier)
    return _log_of(state, os.getpid()).record(kind, input_tokens, output_tokens)


def close_logs(state: State, folded: Collection[str]) -> dict[str, TokenSums]:
    """Close all logs and return their sums by log id, without the logs in `folded`.

    A damaged log is left as it is and logged.

    Raises:
        StateError: The state cannot be read or written.
    """
    ids = [log_id for log_id in list_logs(state) if log_id not in folded]
    with ThreadPoolExecutor(_THREADS, "usage") as pool:
        sums = pool.map(partial(_close, state), ids)
        return {log_id: found for log_id, found in zip(ids, sums, strict=True) if found}


def read_logs(state: State, folded: Collection[str]) -> dict[str, TokenSums]:
    """Return the sums of all logs by log id, without the logs in `folded`; nothing is written.

    A damaged log is logged and left out.

    Raises:
        StateError: The state cannot be read.
    """
    logs = {}
    for log_id in list_logs(state):
        tagged = None if log_id in folded else state.get_tagged(_name(log_id))
        if tagged is not None and (found := _try_decode(log_id, tagged[0])) is not None:
            logs[log_id] = found[0]
    return logs


def list_logs(state: State) -> list[str]:
    """Return the ids of all logs."""
    names = state.list(PREFIX)
    return [name[len(PREFIX) : -len(_SUFFIX)] for name in names if name.endswith(_SUFFIX)]


def delete_logs(state: State, ids: Collection[str]) -> None:
    """Delete closed logs whose sums are kept elsewhere."""
    state.delete([_name(log_id) for log_id in sorted(ids)])


class _UsageLog:
    """The log of one process. Thread-safe."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._recorded = self._written = 0  # calls
        self._id, self._tag = uuid.uuid4().hex, ""
        self._synced_at = float("-inf")
        self._sums = TokenSums()
        self._written_sums = TokenSums()

    def record(self, kind: CallKind, input_tokens: int, output_tokens: int) -> str:
        with self._lock:
            self._sums.add(kind, (1, input_tokens, output_tokens))
            self._recorded += 1
            number = self._recorded
        with self._writing:  # the thread that gets here first writes the calls of all
            if self._written < number:
                self._write()
            return self._id

    def _write(self) -> None:
        for _ in range(_MAX_TRIES):
            with self._lock:
                sums, number = TokenSums(dict(self._sums.counts)), self._recorded
            name, data = _name(self._id), _encode(sums, is_closed=False)
            durable = time.monotonic() - self._synced_at >= _SYNC_INTERVAL_S
            if self._tag:
                tag = self._state.put_if_match(name, data, self._tag, durable=durable)
            else:
                tag = self._state.put_if_absent(name, data, durable=durable)
            if tag is not None:
                self._synced_at = time.monotonic() if durable else self._synced_at
                self._tag, self._written, self._written_sums = tag, number, sums
                return
            self._catch_up()
        raise StateError(f"cannot write {_name(self._id)} in the state {self._state.uri}")

    def _catch_up(self) -> None:
        """Find out why the log could not be written: it was closed, or a write was reported lost.

        A closed log is left with the calls that it has, and another log gets the others.
        """
        tagged = self._state.get_tagged(_name(self._id))
        if tagged is not None:
            try:
                self._written_sums, is_closed = _decode(tagged[0])
            except _INVALID_LOG_ERRORS:
                is_closed = True
            if not is_closed:
                self._tag = tagged[1]
                return
        with self._lock:
            self._sums.merge(self._written_sums, sign=-1)
        self._id, self._tag, self._written_sums = uuid.uuid4().hex, "", TokenSums()


@cached_per_process(max_size=64)
def _log_of(state: State, process: int) -> _UsageLog:
    """Return the log of a state; `process` keeps a forked process from its parent's log."""
    return _UsageLog(state)


def _close(state: State, log_id: str) -> TokenSums | None:
    name = _name(log_id)
    for _ in range(_MAX_TRIES):
        tagged = state.get_tagged(name)
        if tagged is None:
            return None
        found = _try_decode(log_id, tagged[0])
        if found is None:
            return None
        sums, is_closed = found
        closed = _encode(sums, is_closed=True)
        if is_closed or state.put_if_match(name, closed, tagged[1]) is not None:
            return sums
    raise StateError(
        f"{name} in the state {state.uri} changes all the time; check whether another run writes "
        "to this state"
    )


def _name(log_id: str) -> str:
    return f"{PREFIX}{log_id}{_SUFFIX}"


def _encode(sums: TokenSums, *, is_closed: bool) -> bytes:
    return json.dumps({"version": VERSION, "closed": is_closed, **sums.to_json()}).encode()


def _try_decode(log_id: str, data: bytes) -> tuple[TokenSums, bool] | None:
    try:
        return _decode(data)
    except _INVALID_LOG_ERRORS as error:
        log.warning("ignored %s: damaged or foreign (%s)", _name(log_id), type(error).__name__)
        return None


def _decode(data: bytes) -> tuple[TokenSums, bool]:
    """Return the sums of a log, and whether it is closed.

    Raises:
        Exception: Any of `_INVALID_LOG_ERRORS`: the log is damaged or foreign.
    """
    value = json.loads(data)
    if value["version"] != VERSION:
        raise ValueError("another version")
    return TokenSums.from_json(value), bool(value["closed"])
