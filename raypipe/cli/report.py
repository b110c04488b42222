"""The text that `run`, `index` and `retry` print at the end: counts, costs, failures, places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from raypipe.cli.log_handlers import log_file
from raypipe.core.printable import join_lines
from raypipe.core.units import format_duration, format_usd
from raypipe.ledger.failure_log import FailureLog, explain
from raypipe.ledger.run_records import RunRecord, report_name
from raypipe.opensearch.index.config import IndexConfig
from raypipe.quota.prices import name_price
from raypipe.sources.key_filter import describe_not_taken

LOG_FILE = "processing.log"
"""Named in conf/hydra/job_logging/run.yaml, too."""


def format_report(record: RunRecord, index: IndexConfig | None, failures: FailureLog) -> str:
    """Return the result of a run as text.

    Args:
        record: The finished run.
        index: Where the run indexed its documents; None for a run without an index.
        failures: The failure log of the run's state.
    """
    lines = [_counts(record, has_index=index is not None)]
    if not_taken := describe_not_taken(record.not_taken):
        lines.append(f"listed {record.listed:,}, {not_taken}")
    if record.model_calls + record.cached_calls and record.input_tokens + record.output_tokens:
        lines.append(
            f"models  {record.input_tokens:,} tokens in, {record.output_tokens:,} out, "
            f"{format_usd(record.usd)}; {record.cached_calls:,} answers came from the cache"
        )
        lines += _format_models(record.models)
    if record.removed:
        lines.append(f"removed {record.removed:,} books that were deleted from the source")
    if record.unlisted_folders:
        lines.append(
            f"unseen  {record.unseen:,} finished books in folders that cannot be listed "
            f"({record.unlisted_folders:,}); they are kept"
        )
    if record.renames_waiting:
        lines.append(
            f"renamed {record.renames_waiting:,} books keep the documents under their old keys "
            "until they are indexed under the new keys; see left and failed"
        )
    if record.reason:
        lines.append(f"stopped {record.reason}; run again to continue")
    if record.failed or record.known_failures or record.degraded:
        lines += _failures(record, failures)
    if index is not None:
        served = record.served or "no index yet"
        lines.append(f"index   {index.index} -> {served} at {index.connection.endpoint}")
        if record.served != record.index:
            lines.append(f"        {record.index} was built beside it{_why_not_served(record)}")
    lines.append(f"state   {failures.state.uri} (runs/{record.run_id}/run.json)")
    if failures.state.list(name := report_name(record.run_id)):
        lines.append(f"report  {failures.state.uri}/{name}")
    lines.append(f"log     {log_file() or Path(LOG_FILE).absolute()}")
    return join_lines(lines)


def _counts(record: RunRecord, *, has_index: bool) -> str:
    finished = "" if has_index else f" (finished {record.finished:,})"
    return (
        f"listed {record.listed:,} = skipped {record.skipped:,} + indexed {record.indexed:,}"
        f"{finished} + failed {record.failed:,} + left {record.left:,}"
        f"   in {format_duration(record.seconds)}, {record.model_calls:,} model calls"
    )


def _format_models(models: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for each model, unless a single model was called at the default tier."""
    called = [used for used in models if used["calls"] or used["cached_calls"]]
    if len(called) == 1 and called[0]["service_tier"] == "default":
        return []
    return [
        f"        {name_price(used['model'], used['service_tier'])}: {used['calls']:,} calls, "
        f"{used['input_tokens']:,} tokens in, {used['output_tokens']:,} out, "
        f"{format_usd(used['usd'])}"
        for used in called
    ]


def _why_not_served(record: RunRecord) -> str:
    if record.lacking:
        return (
            f" and lacks {record.lacking:,} of its books: run again, or serve it without them "
            "with `raypipe promote force=true`"
        )
    return "; run again to continue the build"


def _failures(record: RunRecord, failures: FailureLog) -> list[str]:
    """Return a line for each kind of failure in this run, with an example and the way out."""
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for row in failures.read_run(record.run_seq).to_pylist():
        by_kind.setdefault(row["kind"], []).append(row)
    lines = [
        f"failed  {len(rows):,} {kind}: {explain(kind)} (e.g. {rows[0]['message']})"
        for kind, rows in sorted(by_kind.items())
    ]
    if record.known_failures:
        lines.append(
            f"        {record.known_failures:,} known failures were not tried again"
            " (`raypipe retry all=true` tries them)"
        )
    return lines
