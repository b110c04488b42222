"""Read the styles of raypipe's pages."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_FOLDER = Path(__file__).parent


@cache
def read_style(name: str) -> str:
    """Return the CSS of pages: the colors, which all pages share, and a file of this folder."""
    return "\n".join((_FOLDER / file).read_text(encoding="utf-8") for file in ("colors.css", name))
