"""Lay out the charts of values over time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from raypipe.core.units import format_short_duration
from raypipe.web.report.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Chart,
    Line,
    Tick,
    nice_step,
)

MAX_POINTS = 500
_TABLE_ROWS = 10
_SHORT_RUN_WINDOW = 5
_TIME_STEPS = (
    *(1, 2, 5, 10, 20, 30),
    *(60, 120, 300, 600, 1200, 1800),
    *(3600, 7200, 4 * 3600, 6 * 3600, 12 * 3600),
)
_DAY = 86400


@dataclass(frozen=True)
class Curve:
    """Values over time.

    Args:
        name: What the values are.
        seconds: Times since the start of the run, ascending.
        values: The value at each time.
        style: Style of the line: 1 to 4, or 0 for a limit.
    """

    name: str
    seconds: Sequence[float]
    values: Sequence[float]
    style: int = 1


def draw_curves(
    name: str, title: str, curves: Sequence[Curve], format_value: Callable[[float], str]
) -> Chart | None:
    """Return a chart of values over time; None without two points of a curve.

    Args:
        name: Name for the page.
        title: What it shows, with the unit.
        curves: The first is described in the table for each time; all have a line.
        format_value: Formats a value.
    """
    curves = [curve for curve in curves if len(curve.seconds) > 1]
    if not curves:
        return None
    end = max(curve.seconds[-1] for curve in curves) or 1.0
    top = max((max(curve.values) for curve in curves), default=0.0)
    step = nice_step(top / 4)
    top = max(math.ceil(top / step - 1e-9), 1) * step
    bottom = HEIGHT - BOTTOM

    def x_of(seconds: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * seconds / end, 1)

    def y_of(value: float) -> float:
        return round(bottom - (bottom - TOP) * value / top, 1)

    lines = []
    for curve in curves:
        every = math.ceil(len(curve.seconds) / MAX_POINTS)
        points = list(zip(curve.seconds, curve.values, strict=True))
        kept = [*points[:-1:every], points[-1]]
        path = " ".join(f"{x_of(seconds):g},{y_of(value):g}" for seconds, value in kept)
        lines.append(Line(curve.name, curve.style, path))
    times = np.linspace(0, end, _TABLE_ROWS + 1)[1:]
    columns = [np.interp(times, curve.seconds, curve.values) for curve in curves]
    return Chart(
        name=name,
        title=title,
        description="; ".join(_describe_curve(curve, format_value) for curve in curves) + ".",
        columns=[Tick(x_of(at), format_short_duration(at)) for at in time_ticks(end)],
        rows=[
            Tick(y_of(number * step), format_value(number * step))
            for number in range(round(top / step) + 1)
        ],
        lines=lines,
        legend=[(curve.style, curve.name) for curve in curves],
        headings=["time", *(curve.name for curve in curves)],
        table=[
            [format_short_duration(float(at)), *(format_value(float(value)) for value in values)]
            for at, *values in zip(times, *columns, strict=True)
        ],
    )


def rate(curve: Curve, name: str, per_s: float = 1.0, style: int | None = None) -> Curve:
    """Return how fast a count grows, from windows of at least a hundredth of the run.

    In a short run, a window has up to five points: a book more or less would be a peak.

    Args:
        curve: The count.
        name: What the rate is.
        per_s: Seconds of the unit of time, for example 60 for a rate per minute.
        style: Style of the line; None for the style of the count.
    """
    points = len(curve.seconds)
    window = max(math.ceil(points / 100), min(points // 8, _SHORT_RUN_WINDOW), 1)
    seconds, values = [], []
    for number in range(window, points):
        passed = curve.seconds[number] - curve.seconds[number - window]
        if passed > 0:
            grown = curve.values[number] - curve.values[number - window]
            seconds.append(curve.seconds[number])
            values.append(max(grown, 0.0) / passed * per_s)
    return Curve(name, seconds, values, curve.style if style is None else style)


def time_ticks(end: float) -> list[float]:
    """Return at most seven round times from 0 to the end, in seconds."""
    step: float = next((step for step in _TIME_STEPS if step * 6 >= end), 0)
    if not step:
        step = math.ceil(end / 6 / _DAY) * _DAY
    return [number * step for number in range(int(end / step) + 1)]


def _describe_curve(curve: Curve, format_value: Callable[[float], str]) -> str:
    least, most = format_value(min(curve.values)), format_value(max(curve.values))
    return f"{curve.name}: from {least} to {most}, at the end {format_value(curve.values[-1])}"
