"""The results of a comparison: runs, medians, and their JSON form."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass
class Run:
    """One run of a contender.

    Args:
        began_at: Start, in seconds since the epoch.
        wall_s: Seconds until its first process ended.
        exit_code: Exit code of that process.
        cpu_s: CPU seconds of all processes.
        pss_mb: Largest memory of all processes together, in MB (PSS).
        processes: Largest number of processes at a time.
        ended_late: Number of processes that outlived the command and were killed.
        documents: Number of documents in the index afterwards.
        bulk_requests: Number of bulk requests that the node counted.
        calls: Number of answered calls about books.
        calls_per_s: Calls a second from the first call to the last answer; None without a call.
        first_call_s: Seconds from the start to the first call.
        tail_s: Seconds from the last answer to the end of the command.
        paid_twice: Calls for a prompt that had been answered before; None where not counted.
        lost: Good books that are not in the index; None where not counted.
        problem: Why the run is not valid; empty if it is.
    """

    began_at: float
    wall_s: float
    exit_code: int
    cpu_s: float
    pss_mb: float
    processes: int
    ended_late: int
    documents: int
    bulk_requests: int
    calls: int
    calls_per_s: float | None = None
    first_call_s: float | None = None
    tail_s: float | None = None
    paid_twice: int | None = None
    lost: int | None = None
    problem: str = ""

    @classmethod
    def failed(cls, problem: str) -> Run:
        """Return a run without figures."""
        return cls(0.0, 0.0, -1, 0.0, 0.0, 0, 0, 0, 0, 0, problem=problem)


@dataclass
class Entry:
    """A contender and its runs.

    Args:
        label: Its name in the table.
        how: How it does the task.
        versions: Version of each of its packages.
        runs: Its runs by job; several runs of a job are rounds.
    """

    label: str
    how: str
    versions: Mapping[str, str]
    runs: dict[str, list[Run]] = field(default_factory=dict)

    def add(self, runs: Mapping[str, Run]) -> None:
        """Add a run of each job."""
        for job, run in runs.items():
            self.runs.setdefault(job, []).append(run)

    def values(self, job: str, figure: str) -> list[float]:
        """Return a figure of all runs of a job, of none if one is invalid or lacks it."""
        runs = self.runs.get(job, [])
        values = [getattr(run, figure) for run in runs]
        if any(run.problem for run in runs) or None in values:
            return []
        return [float(value) for value in values]

    def median(self, job: str, figure: str) -> float | None:
        """Return the median of a figure; None without a value."""
        values = self.values(job, figure)
        return statistics.median(values) if values else None

    def problems(self) -> list[str]:
        """Return a line for each kind of invalid run."""
        return sorted(
            {f"{job}: {run.problem}" for job, runs in self.runs.items() for run in runs}
            - {f"{job}: " for job in self.runs}
        )


@dataclass
class Comparison:
    """All entries, and where and when they were measured.

    Args:
        made: Date, commit, machine and sizes.
        entries: Entries by the contender's name.
    """

    made: Mapping[str, Any]
    entries: dict[str, Entry]

    def to_json(self) -> dict[str, Any]:
        """Return plain data; seconds and MB are rounded."""
        entries = {}
        for name, entry in self.entries.items():
            runs = {
                job: [{key: _round(value) for key, value in asdict(run).items()} for run in runs]
                for job, runs in entry.runs.items()
            }
            entries[name] = {**asdict(entry), "runs": runs}
        return {"made": dict(self.made), "entries": entries}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Comparison:
        """Return the comparison of `to_json`; unknown keys of a run are left out."""
        known = {each.name for each in fields(Run)}
        entries = {}
        for name, entry in data["entries"].items():
            runs = {
                job: [Run(**{key: run[key] for key in known & run.keys()}) for run in runs]
                for job, runs in entry["runs"].items()
            }
            entries[name] = Entry(**{**entry, "runs": runs})
        return cls(data["made"], entries)


def summarize_calls(
    calls: Sequence[Mapping[str, Any]], began_at: float, wall_s: float
) -> dict[str, Any]:
    """Return the figures of a run that come from the log of the model server.

    Args:
        calls: Lines of the log, of this run only.
        began_at: Start of the command, in seconds since the epoch.
        wall_s: Seconds until the command ended.
    """
    answered = [call for call in calls if call["status"] == 200]
    if not answered:
        return {"calls": 0}
    first = min(call["sent_at"] for call in answered)
    last = max(call["answered_at"] for call in answered)
    return {
        "calls": len(answered),
        "calls_per_s": len(answered) / max(last - first, 1e-3),
        "first_call_s": first - began_at,
        "tail_s": began_at + wall_s - last,
    }


def count_paid_twice(calls: Sequence[Mapping[str, Any]]) -> int:
    """Return the number of answers to prompts that had been answered before.

    An answer that a killed program did not receive counts as its only answer: nobody could keep it.
    """
    answered: set[str] = set()
    paid_twice = 0
    for call in sorted(calls, key=lambda call: float(call["answered_at"])):
        if call["status"] == 200:
            paid_twice += call["prompt"] in answered
            answered.add(call["prompt"])
    return paid_twice


def _round(value: Any) -> Any:
    return round(value, 3) if isinstance(value, float) else value
