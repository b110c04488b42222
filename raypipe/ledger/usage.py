"""Sum up the tokens a state ever paid for, for runs with a budget.

`usage/sums.json` keeps the sums of all earlier runs; a run adds the logs of the calls since then
(`usage_log`). Only the answers of a raypipe without such logs are listed and read: once, and again
after such a raypipe has used the state.
"""

from __future__ import annotations

import json
import logging
import re
import string
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from raypipe.ledger import run_records, usage_log
from raypipe.ledger.answer_cache import list_entries, read_usage
from raypipe.ledger.token_sums import CallKind, TokenSums
from raypipe.ledger.usage_log import FOLDER
from raypipe.state.parquet_table import ParquetTable
from raypipe.state.store import State, StateError
from raypipe.state.table_schema import TableSchema

log = logging.getLogger(__name__)

SUMS = f"{FOLDER}/sums.json"
VERSION = 1
USAGE_SCHEMA = pa.schema(
    [
        ("group", pa.string()),
        ("model", pa.string()),
        ("entries", pa.int64()),  # of the whole group
        ("input_tokens", pa.int64()),
        ("output_tokens", pa.int64()),
        ("run_seq", pa.int64()),
    ]
)
"""Sums of each group of the cache, as raypipe kept them before there were logs; only read."""
_SCHEMA = TableSchema(USAGE_SCHEMA, kind=FOLDER, version=1)
_RUN = f"{FOLDER}/run-"
_RUN_NAME = re.compile(rf"{_RUN}(\d+)")
_RECORD_NAME = re.compile(rf"{run_records.FOLDER}/([^/]*-(\d+))/run\.json")
_MAX_FOLDED = 10_000
"""Ids of added logs that are remembered: a copy of a state may still have such logs."""
_MAX_TRIES = 20  # of reading the sums while a run replaces them
_INITIALS = string.digits + string.ascii_letters
"""First characters of the groups of the cache, which is listed in slices: it may have millions."""


@dataclass(frozen=True, slots=True)
class ModelUsage:
    """Tokens of all calls of a model at a service tier; the model id is as in the price table."""

    model: str
    input_tokens: int
    output_tokens: int
    tier: str = "default"


@dataclass
class _KeptSums:
    """The content of `usage/sums.json`.

    Args:
        run_seq: All runs before this one are included.
        first_run: Number of the first run that wrote logs.
        unlogged: Sums of the answers that are in no log.
        logged: Sums of the logs that were added.
        folded: Ids of these logs, the newest last.
    """

    run_seq: int
    first_run: int
    unlogged: TokenSums = field(default_factory=TokenSums)
    logged: TokenSums = field(default_factory=TokenSums)
    folded: list[str] = field(default_factory=list)

    def total(self) -> TokenSums:
        """Return the sums of all calls."""
        total = TokenSums(dict(self.unlogged.counts))
        total.merge(self.logged)
        return total


def mark_run(state: State, run_seq: int) -> None:
    """Note that all calls of a run are logged; called before its first call.

    Raises:
        StateError: The state cannot be written.
    """
    state.put(f"{_RUN}{run_seq:08d}", b"")


def usage_by_model(state: State, run_seq: int) -> list[ModelUsage]:
    """Return the tokens of all calls the state ever paid for, by model and service tier.

    Args:
        state: The state; the caller holds its writer lock.
        run_seq: Number of the run.

    Raises:
        SetupError: The state cannot be read or written.
    """
    kept = _read_kept(state)
    logs = usage_log.close_logs(state, frozenset(kept.folded if kept else ()))
    marked = _list_marked(state)
    kept = _add_up(state, run_seq, kept, marked, logs)
    state.put(SUMS, _encode(kept))
    # A crash up to here leaves the logs closed, and the next run reads them again.
    usage_log.delete_logs(state, set(usage_log.list_logs(state)).intersection(kept.folded))
    state.delete([f"{_RUN}{seq:08d}" for seq in marked if seq < run_seq])
    groups = kept.total().group_by(lambda kind: (kind.model, kind.tier))
    return [
        ModelUsage(model, inputs, outputs, tier)
        for (model, tier), (_, inputs, outputs) in groups.items()
    ]


def read_sums(state: State) -> TokenSums:
    """Return the sums of all calls the state ever paid for, also while a run is paying.

    Nothing is written, and no lock is needed.

    Raises:
        SetupError: The state cannot be read, or a run replaced the sums each time.
    """
    for _ in range(_MAX_TRIES):
        before, kept = state.get(SUMS), _read_kept(state)
        logs = usage_log.read_logs(state, frozenset(kept.folded if kept else ()))
        marked = _list_marked(state)
        records = map(_RECORD_NAME.fullmatch, state.list(f"{run_records.FOLDER}/"))
        recorded = {int(match[2]) for match in records if match}
        sums = _add_up(state, max({0, *marked, *recorded}) + 1, kept, marked, logs).total()
        if state.get(SUMS) == before:  # else a run may have deleted logs that are in its sums
            return sums
    raise StateError(f"{SUMS} in the state {state.uri} changes all the time; try again")


def _list_marked(state: State) -> set[int]:
    return {int(match[1]) for name in state.list(_RUN) if (match := _RUN_NAME.fullmatch(name))}


def _add_up(
    state: State,
    run_seq: int,
    kept: _KeptSums | None,
    marked: Collection[int],
    logs: Mapping[str, TokenSums],
) -> _KeptSums:
    """Return the sums with all logs and, where calls were not logged, with the answers."""
    if kept is None:
        kept = _KeptSums(run_seq, min(marked, default=run_seq))
        if run_seq == 1 or not _is_logged_from_start(state, run_seq, marked):
            kept.unlogged = _sum_unlogged(state, kept.first_run, logs)
    elif any(_calls_of_unmarked(state, range(kept.run_seq, run_seq), marked).values()):
        kept.unlogged = _sum_unlogged(state, kept.first_run, None)
    for sums in logs.values():
        kept.logged.merge(sums)
    kept.folded = [*kept.folded, *logs][-_MAX_FOLDED:]
    kept.run_seq = max(run_seq, kept.run_seq)
    return kept


def _read_kept(state: State) -> _KeptSums | None:
    data = state.get(SUMS)
    if data is None:
        return None
    try:
        value = json.loads(data)
        version = int(value["version"])
        if version <= VERSION:
            unlogged, logged = (TokenSums.from_json(value, name) for name in ("unlogged", "logged"))
            folded = [str(log_id) for log_id in value["folded"]]
            return _KeptSums(
                int(value["run_seq"]), int(value["first_run"]), unlogged, logged, folded
            )
    except (ValueError, LookupError, TypeError, RecursionError):
        log.warning("%s in the state %s is damaged; reading all answers", SUMS, state.uri)
        return None
    raise StateError(
        f"{SUMS} in the state {state.uri} was written by a newer raypipe (version {version}); "
        "upgrade raypipe"
    )


def _encode(kept: _KeptSums) -> bytes:
    value = {
        "version": VERSION,
        "run_seq": kept.run_seq,
        "first_run": kept.first_run,
        **kept.unlogged.to_json("unlogged"),
        **kept.logged.to_json("logged"),
        "folded": kept.folded,
    }
    return json.dumps(value).encode()


def _is_logged_from_start(state: State, run_seq: int, marked: Collection[int]) -> bool:
    """Return whether each earlier run logged its calls, or is known to have made none."""
    earlier = range(1, run_seq)
    calls = _calls_of_unmarked(state, earlier, marked)
    return all(seq in marked or calls.get(seq) == 0 for seq in earlier)


def _calls_of_unmarked(
    state: State, runs: Collection[int], marked: Collection[int]
) -> dict[int, int]:
    """Return the model calls of the recorded runs that did not log their calls, by number."""
    if all(seq in marked for seq in runs):
        return {}
    names = map(_RECORD_NAME.fullmatch, state.list(f"{run_records.FOLDER}/"))
    ids = {int(match[2]): match[1] for match in names if match}
    records = {
        seq: run_records.load(state, ids[seq]) for seq in runs if seq in ids and seq not in marked
    }
    return {seq: record.model_calls for seq, record in records.items() if record is not None}


def _sum_unlogged(state: State, first_run: int, logs: Collection[str] | None) -> TokenSums:
    """Return the sums of the answers that are in no log.

    Args:
        state: The state.
        first_run: Number of the first run that wrote logs; later sums of groups are not used.
        logs: Ids of the existing logs, if logs may be missing: an answer whose log is missing is
            counted. None if every log that an answer names was added.
    """
    rows: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    table = ParquetTable(state, FOLDER, _SCHEMA, keys=("group", "model"))
    for row in table.read_latest().to_pylist():
        if row["run_seq"] < first_run:
            rows[row["group"]].append(row)
    sums = TokenSums()
    by_log: defaultdict[str, TokenSums] = defaultdict(TokenSums)
    for initial in _INITIALS:
        names = list_entries(state, initial)
        sizes = Counter(_group_of(name) for name in names)
        summed = set[str]()
        for group, size in sizes.items():
            for row in rows[group]:
                if row["entries"] == size:
                    tokens = row["input_tokens"], row["output_tokens"]
                    sums.add(CallKind("", row["model"]), (0, *tokens))
                    summed.add(group)
        outdated = (name for name in names if _group_of(name) not in summed)
        for _, usage in read_usage(state, outdated):
            counts = by_log[usage.log_id] if usage.log_id else sums
            counts.add(usage.kind, (1, usage.input_tokens, usage.output_tokens))
    if logs is not None:
        existing = {*logs, *usage_log.list_logs(state)}
        for log_id, lost in by_log.items():
            if log_id not in existing:
                sums.merge(lost)
    return sums


def _group_of(name: str) -> str:
    return name.split("/")[1]


def is_mutable(name: str) -> bool:
    """Return whether an object of the folder may change: a log, a mark of a run, or the sums."""
    return name == SUMS or name.startswith((usage_log.PREFIX, _RUN))


def list_mutable(state: State) -> dict[str, int]:
    """Return the sizes of the logs and the marks of runs, which are copied before the sums."""
    sizes = state.list_sizes(f"{FOLDER}/")
    return {name: size for name, size in sizes.items() if is_mutable(name) and name != SUMS}
