"""The message about a run: a short text to read, and fields for programs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from raypipe.coordination.progress import Snapshot
from raypipe.core.printable import escape_line
from raypipe.core.redact import redact_urls
from raypipe.core.units import format_short_duration

EVENTS = ("finish", "stop", "breaker", "budget", "failures")
"""What a message is about: the run has finished, has stopped or ended with an error, was stopped
by the breaker, was stopped by the budget; or a large share of its books fails."""

_WAYS_OUT = {
    "stop": "`raypipe run` continues it",
    "breaker": "`raypipe failures` shows the causes; fix them, then `raypipe run` continues",
    "budget": "raise budget.max_usd or budget.max_tokens, then `raypipe run` continues",
    "failures": "`raypipe failures` shows the causes; the run continues",
}
_AFTER_FAILURES = "`raypipe failures` shows the causes"
_MAX_REASON = 300
_MAX_KINDS = 5
_LAST_PERIOD = re.compile(r"(?<!\.)\.$")


@dataclass(frozen=True)
class Message:
    """A message about a run.

    Args:
        event: One of `EVENTS`.
        run_id: Id of the run.
        status: `running`, or the status in run.json; `error` for an unexpected end.
        text: One line to read: the run, its outcome, counts, cost and the way out.
        fields: Numbers and texts of run.json that say more, for programs.
    """

    event: str
    run_id: str
    status: str
    text: str
    fields: Mapping[str, Any] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """Return the message as JSON values."""
        names = {"event": self.event, "run_id": self.run_id, "status": self.status}
        return {**names, "text": self.text, **self.fields}


_FIELDS = (
    *("run_seq", "exit_code", "reason", "listed", "skipped", "indexed", "finished", "failed"),
    *("left", "degraded", "removed", "model_calls", "cached_calls", "input_tokens"),
    *("output_tokens", "usd", "seconds", "started_at"),
)
"""Fields of run.json in a message."""


def describe_end(
    event: str, record: Mapping[str, Any], kinds: Iterable[tuple[str, int]]
) -> Message:
    """Return the message about the end of a run.

    Args:
        event: One of `EVENTS`.
        record: The fields of run.json.
        kinds: The kinds of its failures, and the number of books of each.
    """
    status = "error" if record["status"] == "running" else str(record["status"])
    reason = _clean(record["reason"])
    done = record["indexed"] or record["finished"]
    counts = _counts(done, record["failed"], record["left"], record["usd"], kinds)
    parts = [f"raypipe {record['run_id']} {status}", f"{counts} in {_duration(record)}"]
    if reason:
        parts.insert(1, reason)
    failed = record["failed"] or record["degraded"]
    way_out = _WAYS_OUT.get(event, _AFTER_FAILURES if failed else "")
    way_out = _AFTER_FAILURES if event == "failures" else way_out
    if way_out and status != "error":  # the reason of an error has its fix
        parts.append(way_out)
    fields = {name: record[name] for name in _FIELDS}
    fields |= {"reason": reason, "failures": dict(kinds)}
    return Message(event, record["run_id"], status, ". ".join(parts), fields)


def describe_failures(run_id: str, snapshot: Snapshot) -> Message:
    """Return the message that many books of a run fail.

    Args:
        run_id: Id of the run.
        snapshot: Its state.
    """
    progress = snapshot.progress
    left = progress.books_left(snapshot.total)
    counts = _counts(progress.done, progress.failed, left, progress.usd, progress.failures)
    share = progress.failed / max(progress.done + progress.failed, 1)
    text = f"raypipe {run_id}: {share:.0%} of the books fail. {counts}. {_WAYS_OUT['failures']}"
    fields = {
        "done": progress.done,
        "failed": progress.failed,
        "left": left,
        "usd": round(progress.usd, 6),
        "failures": dict(progress.failures),
    }
    return Message("failures", run_id, "running", text, fields)


def _counts(done: int, failed: int, left: int, usd: float, kinds: Iterable[tuple[str, int]]) -> str:
    shown = ", ".join(f"{kind} {books:,}" for kind, books in list(kinds)[:_MAX_KINDS])
    by_kind = f" ({shown})" if shown else ""
    return f"{done:,} done, {failed:,} failed{by_kind}, {left:,} left, ${usd:,.2f}"


def _duration(record: Mapping[str, Any]) -> str:
    return format_short_duration(record["seconds"])


def _clean(reason: str) -> str:
    """Return a reason as one short line without secrets: it may quote a server or a key."""
    line = _LAST_PERIOD.sub("", escape_line(redact_urls(reason)))
    return line if len(line) <= _MAX_REASON else f"{line[:_MAX_REASON]} ..."
