"""Turn values into HTML. Every value is escaped: a title `<script>` is shown as text."""

from __future__ import annotations

import re
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from raypipe import __version__
from raypipe.core.printable import escape_line
from raypipe.core.units import format_duration, format_usd
from raypipe.web.styles import read_style

_FOLDER = Path(__file__).parent
_CODE = re.compile("`([^`]*)`")

STATIC_FILES = {"serve.css": "text/css", "icon.svg": "image/svg+xml"}
"""Files that pages refer to, with their types."""


def read_static(name: str) -> bytes:
    """Return the content of a file of `STATIC_FILES`."""
    is_style = STATIC_FILES[name] == "text/css"
    return read_style(name).encode() if is_style else (_FOLDER / name).read_bytes()


class Renderer:
    """Renders the templates of the page."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(_FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "code": format_code,
            "count": format_count,
            "duration": format_duration,
            "line": escape_line,
            "moment": format_moment,
            "usd": format_usd,
        }
        # A new version of a file has a new address, so that browsers may keep it for long.
        addresses = {name: f"/static/{name}?v={_digest(name)}" for name in STATIC_FILES}
        self._environment.globals |= {"static": addresses, "version": __version__}

    def render(self, template: str, **values: Any) -> str:
        """Return a page.

        Args:
            template: Name of a file in `templates/`.
            values: The values that it shows.
        """
        return self._environment.get_template(template).render(values)


def format_code(text: str) -> Markup:
    """Return a message as HTML; its parts in backticks are code."""
    parts = _CODE.split(str(escape(escape_line(text))))
    return Markup("").join(
        Markup(f"<code>{part}</code>" if number % 2 else part)  # noqa: S704
        for number, part in enumerate(parts)
    )


def format_count(number: float | None) -> str:
    """Return a number with commas; `unknown` for None."""
    return "unknown" if number is None else f"{number:,.0f}"


def format_moment(seconds: float | None) -> str:
    """Return a time as `2026-11-28 10:02 UTC`.

    Args:
        seconds: Seconds since the epoch; None if unknown.
    """
    if seconds is None:
        return "unknown"
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))


def _digest(name: str) -> str:
    return sha256(read_static(name)).hexdigest()[:12]
