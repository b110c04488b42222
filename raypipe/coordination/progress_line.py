"""Format the counts of a run as one line."""

from __future__ import annotations

from collections.abc import Sequence

from raypipe.coordination.counts import Progress
from raypipe.coordination.forecast import Outlook
from raypipe.coordination.process_meter import ResourceUsage
from raypipe.core.units import format_short_duration

_MAX_KINDS = 3


def format_progress(
    progress: Progress, total: int, outlook: Outlook, usage: ResourceUsage | None = None
) -> str:
    """Return a progress line: books, model calls, costs, time to go, memory and CPU.

    Args:
        progress: The run's counts so far.
        total: Number of books in the run.
        outlook: Rates and the time to go.
        usage: Memory and CPU in use, if known.
    """
    parts = [
        f"done {progress.done:,}",
        f"failed {progress.failed:,}{_format_kinds(progress.failures)}",
        f"left {progress.books_left(total):,}",
    ]
    if progress.calls or progress.in_flight or outlook.estimated_calls:
        parts += format_calls(progress, outlook)
    else:
        parts += _format_stages(progress.stage_books) if not progress.done else []
        parts.append(f"{outlook.books_per_s:,.1f} books/s")
    parts.append(f"ETA {format_eta(outlook)}")
    if usage:
        parts += [f"{usage.memory / 1e9:.1f} GB", f"CPU {usage.cpu * 100:.0f} %"]
    return " · ".join(parts)


def format_calls(progress: Progress, outlook: Outlook) -> list[str]:
    """Return the parts of a line about model calls: their number, rate, tokens and dollars."""
    of = f" of about {outlook.estimated_calls:,}" if outlook.estimated_calls is not None else ""
    cached = f" ({progress.cached_calls:,} from the cache)" if progress.cached_calls else ""
    parts = [
        f"calls {progress.calls:,}{of}{cached}",
        f"{outlook.calls_per_s:,.1f} calls/s",
        f"in flight {progress.in_flight:,}",
        f"{progress.tokens:,} tokens",
    ]
    if progress.usd or progress.budget_usd is not None:
        parts.append(_format_usd(progress.usd, progress.budget_usd, progress.budget_spent))
    if progress.tokens_per_minute:
        parts.append(f"quota {outlook.tokens_per_minute / progress.tokens_per_minute:.0%}")
    if progress.throttled:
        parts.append(f"throttled {progress.throttled:,}")
    return parts


def _format_usd(usd: float, budget: float | None, spent: float) -> str:
    return f"${usd:,.2f}" if budget is None else f"${spent:,.2f} of ${budget:,.2f}"


def _format_kinds(failures: Sequence[tuple[str, int]]) -> str:
    """Return the most frequent kinds of failure, in parentheses."""
    kinds = [f"{kind} {books:,}" for kind, books in failures[:_MAX_KINDS]]
    return f" ({', '.join(kinds)})" if kinds else ""


def _format_stages(stages: Sequence[tuple[str, int, int]]) -> list[str]:
    """Return how many books came out of each stage, while none is in the ledger."""
    return [f"{stage} {books:,}" for stage, books, _ in stages]


def format_eta(outlook: Outlook) -> str:
    """Return the time to go, and what limits the run."""
    if outlook.eta_s is None:
        return "unknown"
    limit = f" ({outlook.limit})" if outlook.limit in ("calls", "quota") else ""
    return f"{format_short_duration(outlook.eta_s)}{limit}"
