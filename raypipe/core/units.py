"""Format durations, dollars and tables for users."""

from __future__ import annotations

from collections.abc import Sequence

_MINUTE, _HOUR = 60, 3600


def format_duration(seconds: float) -> str:
    """Return a duration: seconds below a minute, minutes below an hour, else hours."""
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    if seconds < _HOUR:
        return f"{seconds / _MINUTE:.1f} minutes"
    return f"{seconds / _HOUR:,.1f} hours"


def format_short_duration(seconds: float) -> str:
    """Return a duration in its two largest units: 42s, 3m05s, 2h07m, 3d04h."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


def format_usd(usd: float | None) -> str:
    """Return dollars, with four decimals below a cent; `unknown` for None."""
    if usd is None:
        return "unknown"
    return f"${usd:.4f}" if 0 < usd < 0.01 else f"${usd:,.2f}"


def format_table(rows: Sequence[Sequence[str]], texts: int) -> list[str]:
    """Return the lines of a table.

    Args:
        rows: Cells of each row; the first row has the headings.
        texts: Number of first columns with texts, which are aligned to the left.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if number < texts else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
