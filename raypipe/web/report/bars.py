"""Lay out the charts of bars: outcome, stage latencies and book sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from raypipe.core.histogram import Histogram
from raypipe.web.report.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Box,
    Chart,
    Tick,
    nice_step,
)
from raypipe.web.report.texts import format_bytes, format_count, format_seconds, format_share

_ROW, _BAR = 28, 16
_BINARY_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def draw_latencies(latencies: Mapping[str, Histogram]) -> Chart | None:
    """Return a chart of the percentiles of each stage, on a logarithmic axis; None without any."""
    known = {stage: values for stage, values in latencies.items() if values.count}
    if not known:
        return None
    spans = {stage: [values.percentile(q) for q in (0.5, 0.95, 0.99)] for stage, values in
             known.items()}  # fmt: skip
    low = math.floor(math.log10(max(min(span[0] for span in spans.values()), 1e-6)))
    high = max(math.ceil(math.log10(max(span[2] for span in spans.values()) or 1e-5)), low + 1)

    def x_of(seconds: float) -> float:
        share = (math.log10(max(seconds, 10.0**low)) - low) / (high - low)
        return round(LEFT + (WIDTH - LEFT - RIGHT) * share, 1)

    boxes, rows = [], []
    for number, (stage, (half, most, nearly_all)) in enumerate(spans.items()):
        middle = TOP + _ROW * (number + 0.5)
        rows.append(Tick(middle, stage))
        text = (
            f"{stage}: half of the books within {format_seconds(half)}, 95 % within "
            f"{format_seconds(most)}, 99 % within {format_seconds(nearly_all)}"
        )
        for start, end, height, style in ((half, most, 14, 1), (most, nearly_all, 6, 2)):
            width = round(max(x_of(end) - x_of(start), 2.0), 1)
            boxes.append(Box(x_of(start), middle - height / 2, width, height, style, text))
    return Chart(
        name="latencies",
        title="Seconds of a book in each stage (logarithmic)",
        description=". ".join(dict.fromkeys(box.text for box in boxes)) + ".",
        height=TOP + _ROW * len(rows) + BOTTOM,
        columns=[
            Tick(x_of(10.0**power), format_seconds(10.0**power)) for power in range(low, high + 1)
        ],
        rows=rows,
        boxes=boxes,
        legend=[(1, "from p50 to p95"), (2, "from p95 to p99")],
    )


def draw_sizes(sizes: Histogram) -> Chart | None:
    """Return a chart of the number of books by size; None without books."""
    ranges = sizes.by_doubling()
    if not ranges:
        return None
    most = max(books for _, books in ranges)
    step = max(nice_step(most / 4), 1.0)
    top = math.ceil(most / step) * step
    bottom, width = HEIGHT - BOTTOM, (WIDTH - LEFT - RIGHT) / len(ranges)
    boxes, columns = [], []
    for number, (bound, books) in enumerate(ranges):
        x, height = LEFT + width * number, (bottom - TOP) * books / top
        text = f"{_size_range(bound)}: {format_count(books)} books"
        boxes.append(
            Box(round(x + 1, 1), round(bottom - height, 1), round(max(width - 2, 1), 1),
                round(height, 1), 1, text)
        )  # fmt: skip
        if number % math.ceil(len(ranges) / 8) == 0:
            columns.append(Tick(round(x + width, 1), _power_of_two(bound)))
    spread = [format_bytes(sizes.percentile(share)) for share in (0.5, 0.95)]
    return Chart(
        name="sizes",
        title="Books by size",
        description=(
            f"{format_count(sizes.count)} books with {format_bytes(sizes.total)} in all; half have "
            f"at most {spread[0]}, 95 % at most {spread[1]}; the largest has "
            f"{format_bytes(sizes.largest)}."
        ),
        columns=columns,
        rows=[
            Tick(
                round(bottom - (bottom - TOP) * number * step / top, 1), format_count(number * step)
            )
            for number in range(round(top / step) + 1)
        ],
        boxes=boxes,
        headings=["size", "books", "share"],
        table=[
            [_size_range(bound), format_count(books), format_share(books / sizes.count)]
            for bound, books in ranges
        ],
    )


def draw_outcome(parts: Sequence[tuple[str, float, int]]) -> Chart | None:
    """Return a bar of the books by outcome; None without books.

    Args:
        parts: Name, number of books, and style of each outcome.
    """
    total = sum(books for _, books, _ in parts)
    if not total:
        return None
    boxes, legend, x = [], [], 0.0
    for name, books, style in parts:
        width = WIDTH * books / total
        text = f"{name} {format_count(books)} ({format_share(books / total)})"
        legend.append((style, text))
        if books:
            boxes.append(Box(round(x, 1), 0, round(max(width, 1.5), 1), _BAR, style, text))
        x += width
    return Chart(
        name="outcome",
        title="Books by outcome",
        description=", ".join(text for _, text in legend) + ".",
        height=_BAR,
        boxes=boxes,
        legend=legend,
    )


def _size_range(bound: float) -> str:
    return f"{_power_of_two(bound / 2)} to {_power_of_two(bound)}"


def _power_of_two(size: float) -> str:
    """Return a size whose number is a power of two, such as 512 B or 4 KiB."""
    unit = 0
    while size >= 1024 and unit < len(_BINARY_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:g} {_BINARY_UNITS[unit]}"
