"""The colors of raypipe's pages have enough contrast, in the light and in the dark."""

from __future__ import annotations

import re

import pytest

from raypipe.web.styles import read_style

STYLE = read_style("report.css")
TEXTS = ("text", "muted", "link", "good", "bad", "warn")
LINES = ("series-1", "series-2", "series-3", "series-4")


def colors_of(theme: str) -> dict[str, str]:
    light, dark = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    found = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", light))
    if theme == "dark":
        changed = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", dark))
        assert changed.keys() == found.keys()
        return changed
    return found


def luminance(color: str) -> float:
    """Return the relative luminance of WCAG 2.2."""
    parts = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str) -> float:
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_texts_and_lines_have_the_contrast_of_level_aa(theme: str) -> None:
    colors = colors_of(theme)
    for ground in ("page", "panel"):
        for name in TEXTS:
            assert contrast(colors[name], colors[ground]) >= 4.5, (name, ground)
    for name in LINES:
        assert contrast(colors[name], colors["page"]) >= 3, name
    assert contrast(colors["on-button"], colors["button"]) >= 4.5


def test_the_contrast_is_that_of_wcag() -> None:
    assert round(contrast("#000000", "#ffffff"), 2) == 21
    assert round(contrast("#777777", "#ffffff"), 2) == 4.48


@pytest.mark.parametrize("name", ["report.css", "serve.css"])
def test_no_color_is_outside_of_the_list(name: str) -> None:
    rules = re.sub(r":root \{.*?\}", "", read_style(name), flags=re.DOTALL)
    assert re.findall(r"#[0-9a-f]{3,8}\b|rgb|hsl", rules) == []
