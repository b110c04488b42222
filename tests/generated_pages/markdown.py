"""Parts of Markdown that the generated pages share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence


def escape_cell(text: str) -> str:
    """Return a text for a cell of a table; `<` outside of code begins no HTML."""
    parts = re.split(r"(`[^`]*`)", " ".join(text.split()).replace("|", "\\|"))
    return "".join(part if part.startswith("`") else part.replace("<", "\\<") for part in parts)


def format_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table after an empty line; nothing for no rows."""
    cells = [[escape_cell(cell) for cell in row] for row in rows]
    if cells:
        yield ""
        yield f"| {' | '.join(header)} |".replace("|  |", "| |")
        yield "|" + "---|" * len(header)
        for row in cells:
            yield f"| {' | '.join(row)} |"


def make_anchor(heading: str) -> str:
    """Return the anchor that GitHub makes of a heading."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def capitalize(text: str) -> str:
    """Return a text with a capital first letter; other letters stay."""
    return text[:1].upper() + text[1:]
