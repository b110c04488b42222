"""Records of runs, as their ends report them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from raypipe.ledger.run_records import RunRecord

RUN = "20261128T100217Z-0007"


def record_of(status: str = "done", **numbers: Any) -> dict[str, Any]:
    """Return the fields of a record."""
    record = RunRecord(RUN, 7, status=status, started_at="2026-11-28T10:02:17Z", seconds=185.0)
    return {**asdict(record), **numbers}
