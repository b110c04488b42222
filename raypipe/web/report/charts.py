"""What a chart of a report consists of; its template draws it as inline SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 480, 180
LEFT, RIGHT, TOP, BOTTOM = 76, 24, 12, 26
"""Margins around the area of the values, in units of the drawing."""


@dataclass(frozen=True)
class Tick:
    """A mark of an axis: its position in the drawing, and its text."""

    position: float
    text: str


@dataclass(frozen=True)
class Line:
    """A line of a chart: its name, its style (1 to 4, 0 for a limit), and its points."""

    name: str
    style: int
    points: str


@dataclass(frozen=True)
class Box:
    """A rectangle of a chart, with the text that a pointer shows."""

    x: float
    y: float
    width: float
    height: float
    style: int
    text: str


@dataclass(frozen=True)
class Chart:
    """A chart, and the same as text.

    Args:
        name: Name for the page, without spaces.
        title: What it shows, with the unit.
        description: The values in a sentence, for those who do not see the drawing.
        height: Height of the drawing; its width is `WIDTH`.
        columns: Marks of the horizontal axis.
        rows: Marks of the vertical axis.
        lines: The lines.
        boxes: The bars.
        legend: Names of the styles in use.
        headings: Headings of the table.
        table: Rows of the table.
    """

    name: str
    title: str
    description: str
    height: float = HEIGHT
    columns: Sequence[Tick] = ()
    rows: Sequence[Tick] = ()
    lines: Sequence[Line] = ()
    boxes: Sequence[Box] = ()
    legend: Sequence[tuple[int, str]] = ()
    headings: Sequence[str] = ()
    table: Sequence[Sequence[str]] = ()
    width: float = WIDTH
    left: float = LEFT
    right: float = WIDTH - RIGHT
    top: float = TOP

    @property
    def bottom(self) -> float:
        """Return the position of the horizontal axis."""
        return self.height - BOTTOM


def nice_step(value: float) -> float:
    """Return the smallest of 1, 2, 2.5 and 5, times a power of ten, that is not below a value."""
    if value <= 0 or not math.isfinite(value):
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next((step * power for step in (1, 2, 2.5, 5) if step * power >= value), 10 * power)
