"""Format numbers for the tables and charts of a report."""

from __future__ import annotations

from raypipe.core.units import format_short_duration

UNKNOWN = "unknown"
_BYTE_UNITS = ("B", "kB", "MB", "GB", "TB")


def format_count(number: float | None) -> str:
    """Return a number of things, such as 12,345; `unknown` for None."""
    return UNKNOWN if number is None else f"{number:,.0f}"


def format_number(number: float | None) -> str:
    """Return a number with three significant digits, such as 0.123, 12.3 or 1,230."""
    if number is None:
        return UNKNOWN
    if number == 0 or abs(number) >= 100:
        return f"{number:,.0f}"
    return f"{number:.3g}"


def format_seconds(seconds: float | None) -> str:
    """Return a duration, such as 3.2 ms, 1.5 s, 3m05s or 2h07m; `unknown` for None."""
    if seconds is None:
        return UNKNOWN
    if seconds == 0:
        return "0 s"
    if seconds < 0.9995:
        return f"{seconds * 1e3:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 59.95 else format_short_duration(seconds)


def format_bytes(size: float | None) -> str:
    """Return a size, such as 512 B or 1.2 MB; `unknown` for None."""
    if size is None:
        return UNKNOWN
    number, unit = float(size), 0
    while number >= 999.5 and unit < len(_BYTE_UNITS) - 1:
        number, unit = number / 1000, unit + 1
    return f"{number:.3g} {_BYTE_UNITS[unit]}"


def format_share(share: float | None) -> str:
    """Return a share in percent, such as 12 % or 0.4 %; `unknown` for None."""
    if share is None:
        return UNKNOWN
    percent = share * 100
    return f"{percent:.0f} %" if percent >= 10 or percent == 0 else f"{percent:.2g} %"


def format_change(new: float | None, old: float | None) -> str:
    """Return how much a number has changed, such as +12 %; empty if it cannot be told."""
    if new is None or not old:
        return ""
    share = (new - old) / old
    return "0 %" if abs(share) < 0.0005 else f"{share * 100:+,.3g} %"
