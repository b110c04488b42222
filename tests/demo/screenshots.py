"""Take pictures of the report and the page in headless Chromium, as small PNGs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

from PIL import Image

from tests.slow.chromium import Browser

_WIDTH, _PIXEL_RATIO = 1100, 1.4
_COLORS = 128
_MARGIN = 20
"""Space above a section, in units of CSS."""


@dataclass(frozen=True)
class View:
    """A picture of a page.

    Args:
        name: Name of the file, without `.png`.
        url: The page.
        height: Height of the window, in units of CSS; a lower section makes it lower.
        is_dark: Whether the scheme is dark.
        section: Id of the heading at the top; empty for the beginning of the page.
    """

    name: str
    url: str
    height: int
    is_dark: bool = False
    section: str = ""


def list_views(report: str, page: str, query: str) -> list[View]:
    """Return the pictures of a run's report and of the page on its index.

    Args:
        report: URL of the report.
        page: URL of `raypipe serve`.
        query: Description of a book that the page searches.
    """
    return [
        View("report", report, 920),
        View("report_dark", report, 1030, is_dark=True, section="course"),
        View("report_stages", report, 900, section="stages"),
        View("search_page", f"{page}/?{urlencode({'q': query, 'language': 'en'})}", 850),
        View("run_page", f"{page}/runs", 720),
    ]


def take(browser: Browser, views: Sequence[View], folder: Path) -> None:
    """Write a PNG for each view."""
    for view in views:
        _look(browser, view, view.height)
        browser.go(view.url)
        browser.go(view.url)  # the first search also waits for its model
        if view.section:
            heading = f"document.getElementById('{view.section}')"
            height = browser.evaluate(f"{heading}.parentElement.getBoundingClientRect().height")
            _look(browser, view, min(view.height, round(height) + _MARGIN))
            browser.evaluate(f"{heading}.scrollIntoView()")
            browser.evaluate(f"window.scrollBy(0, {-_MARGIN})")
        path = folder / f"{view.name}.png"
        browser.screenshot(path, is_whole=False)
        reduce(path)


def _look(browser: Browser, view: View, height: int) -> None:
    browser.look(width=_WIDTH, height=height, dark=view.is_dark, pixel_ratio=_PIXEL_RATIO)


def reduce(path: Path) -> None:
    """Write a PNG again with a palette: a third of the bytes shows the few colors of a page."""
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(_COLORS, dither=Image.Dither.NONE)
    small.save(path, optimize=True)
