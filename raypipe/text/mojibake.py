"""Repair mojibake: UTF-8 that was decoded as Windows-1252 and saved again, e.g. â€™ for ’."""

# ruff: noqa: RUF001, RUF002 - broken characters are the subject
from __future__ import annotations

import re
from importlib.metadata import version
from itertools import islice

_CP1252_EXTRAS = "€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
_SECOND = f"[\x80-\xbf{_CP1252_EXTRAS}\ufffd]"
_BROKEN = re.compile(f"[Â-ß]{_SECOND}|[à-ï]{_SECOND}{{2}}|ð{_SECOND}{{3}}")
_MIN_BROKEN = 3
"""Fewer matches may be intended: a capital É before a quotation mark looks the same."""


def repair_mojibake(text: str) -> tuple[str, bool]:
    """Return the text with its mojibake repaired, and whether anything changed.

    ftfy gets only the lines with suspicious characters, and only of texts that have several. Its
    other repairs cannot change a book that is in order.

    Args:
        text: Characters as decoded, before any are dropped: the controls between U+0080 and
            U+009F are part of the broken sequences.
    """
    if text.isascii() or sum(1 for _ in islice(_BROKEN.finditer(text), 3)) < _MIN_BROKEN:
        return text, False
    from ftfy import fix_encoding

    lines = [fix_encoding(line) if _BROKEN.search(line) else line for line in text.split("\n")]
    repaired = "\n".join(lines)
    return repaired, repaired != text


def repair_tool_version() -> str:
    """Return the repair library and its version; a different version may give a different text."""
    return f"ftfy {version('ftfy')}"
