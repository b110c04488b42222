"""Read what the state knows about a run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from raypipe.core.errors import SetupError
from raypipe.core.redact import redact
from raypipe.ledger.facade import Ledger
from raypipe.ledger.failure_log import DEGRADED, FailedBook, unresolved
from raypipe.ledger.run_history import RunState, list_run_ids, read_run
from raypipe.ledger.run_progress import RunProgress
from raypipe.ledger.run_records import FOLDER, RunRecord
from raypipe.ledger.run_statistics import RunStatistics, load_statistics
from raypipe.state.store import State

MAX_SETTINGS = 1_000
MAX_VALUE_CHARS = 300
_NOT_SHOWN = ("prices.models", "prompts", "hydra")
"""Settings that are long tables and texts, not choices of this run."""
_MAX_EARLIER = 20
"""Earlier runs that are looked at to find a run to compare with; a look is a request on S3."""


@dataclass(frozen=True)
class RunFacts:
    """What the state knows about a run.

    Args:
        run: The run: its record, or its progress while it works.
        state_uri: The state.
        statistics: Its course and the times of its books; None for a run that recorded none.
        failed: Its failed and degraded books, oldest first.
        settings: Its options by dotted name, without secrets.
    """

    run: RunState
    state_uri: str
    statistics: RunStatistics | None = None
    failed: Sequence[FailedBook] = ()
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def record(self) -> RunRecord:
        """Return the run's record; an empty record while it works."""
        return self.run.record or RunRecord(self.run.run_id, self.run.run_seq)

    @property
    def counts(self) -> Mapping[str, float | None]:
        """Return the numbers of the run by name; None for what is unknown."""
        if self.run.record is not None:
            return _counts_of_record(self)
        return _counts_of_progress(self)


def read_facts(state: State, run: RunState) -> RunFacts:
    """Return what the state knows about a run.

    Raises:
        SetupError: The state cannot be read.
    """
    return RunFacts(
        run,
        state.uri,
        load_statistics(state, run.run_id),
        read_failed(Ledger(state), run.run_seq),
        read_settings(state, run.run_id),
    )


def find_run_before(state: State, run: RunState) -> RunState | None:
    """Return the newest earlier run that processed books; None if there is none.

    Raises:
        SetupError: The state cannot be read.
    """
    ids = [name for name in list_run_ids(state) if int(name.rpartition("-")[2]) < run.run_seq]
    for run_id in ids[:_MAX_EARLIER]:
        try:
            earlier = read_run(state, run_id)
        except SetupError:  # its record is damaged; its run cannot be compared
            continue
        record = earlier.record
        if record is not None and record.indexed + record.finished + record.failed:
            return earlier
    return None


def read_failed(ledger: Ledger, run_seq: int) -> list[FailedBook]:
    """Return the books that failed in a run or got a fallback's summary, oldest first.

    Raises:
        SetupError: The state cannot be read.
    """
    rows = ledger.failures.read_run(run_seq)
    if not len(rows):
        return []
    is_degraded = pc.equal(rows["kind"], DEGRADED)
    degraded, failed = rows.filter(is_degraded), rows.filter(pc.invert(is_degraded))
    done = ledger.checkpoint.read_run(run_seq).select(["book_id", "run_seq"])
    failed = unresolved(failed, done)
    if len(failed) and not len(done):  # a run without an index ends at finished documents
        recipes = ledger.documents.recipe_names()
        finished = ledger.documents.read_run(recipes, run_seq).select(["book_id", "run_seq"])
        failed = failed.filter(pc.invert(_was_finished(failed, finished)))
    books = [FailedBook(**row) for row in pa.concat_tables([failed, degraded]).to_pylist()]
    return sorted(books, key=lambda book: book.failed_at)


def _was_finished(failed: pa.Table, finished: pa.Table) -> pa.ChunkedArray:
    """Return a mask of the failures before a finished document; not those of the index."""
    is_finished = pc.is_in(failed["book_id"], value_set=finished["book_id"].combine_chunks())
    return pc.and_(is_finished, pc.not_equal(failed["stage"], "index"))


def read_settings(state: State, run_id: str) -> dict[str, str]:
    """Return the options of a run by dotted name, without secrets; empty if none are recorded.

    Raises:
        StateError: The state cannot be read.
    """
    import yaml

    data = state.get(f"{FOLDER}/{run_id}/config.yaml")
    try:
        # Redacted again: the run may have been made by an older raypipe, which knew fewer secrets.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        config = redact(yaml.load(data, Loader=loader)) if data is not None else None  # noqa: S506
    except (yaml.YAMLError, RecursionError, UnicodeDecodeError):
        return {}
    found: dict[str, str] = {}
    for name, value in _flatten(config if isinstance(config, dict) else {}):
        if len(found) >= MAX_SETTINGS:
            break
        if not name.startswith(_NOT_SHOWN) and ".prompts." not in name:
            found[name] = value
    return found


def _flatten(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in config.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            yield from _flatten(value, f"{name}.")
        else:
            is_json = value is None or isinstance(value, bool | int | float | list)
            text = json.dumps(value, ensure_ascii=False, default=str) if is_json else str(value)
            is_long = len(text) > MAX_VALUE_CHARS
            yield name, f"{text[:MAX_VALUE_CHARS]}…" if is_long else text


def _counts_of_record(facts: RunFacts) -> dict[str, float | None]:
    record = facts.record
    done = record.indexed + record.finished
    seconds = record.stage_seconds.get("graph") or record.seconds
    return {
        "listed": record.listed,
        "skipped": record.skipped,
        "done": done,
        "failed": record.failed,
        "left": record.left,
        "degraded": record.degraded,
        "removed": record.removed,
        "seconds": record.seconds,
        "books_per_s": (done + record.failed) / seconds if seconds else None,
        "model_calls": record.model_calls,
        "cached_calls": record.cached_calls,
        "input_tokens": record.input_tokens,
        "output_tokens": record.output_tokens,
        "usd": record.usd,
    }


def _counts_of_progress(facts: RunFacts) -> dict[str, float | None]:
    progress = facts.run.progress or RunProgress()
    tokens = progress.tokens or {}
    seconds = facts.statistics.column("seconds") if facts.statistics else []
    known = progress.listed is not None and progress.todo is not None
    return {
        "listed": progress.listed,
        "skipped": (progress.listed or 0) - (progress.todo or 0) if known else None,
        "done": progress.done,
        "failed": progress.failed,
        "left": progress.left,
        "degraded": None,
        "removed": None,
        "seconds": seconds[-1] if seconds else None,
        "books_per_s": progress.rate_per_s,
        "model_calls": progress.calls,
        "cached_calls": None,
        "input_tokens": tokens.get("input"),
        "output_tokens": tokens.get("output"),
        "usd": progress.usd,
    }
