"""The pages and pictures of docs/ that are made from code: `make docs` writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from tests.generated_pages import (
    commands,
    failure_kinds,
    model_calls,
    options,
    performance,
    python_api,
)

ROOT = Path(__file__).parents[2]

GENERATED_PAGES: Mapping[str, Callable[[], str]] = {
    "docs/internals/model_calls.svg": model_calls.format_picture,
    "docs/options.md": options.format_page,
    "docs/performance.md": performance.format_page,
    "docs/reference/commands.md": commands.format_page,
    "docs/reference/failure_kinds.md": failure_kinds.format_page,
    "docs/reference/python_api.md": python_api.format_page,
}
"""Each generated page, by its path, and the function that returns its text."""


def write_pages(root: Path = ROOT) -> None:
    """Write all generated pages."""
    for path, format_page in GENERATED_PAGES.items():
        (root / path).write_text(format_page(), encoding="utf-8")
