"""Find the lines that scanners put on each page, such as "Digitized by Google"."""

from __future__ import annotations

import re
from collections import defaultdict

_IMPRINT = re.compile(
    r"^[\f \t]*(?:digiti[sz]ed by\b|generated (?:on|for|by)\b.{0,60}\d|original from\b"
    r"|https?://(?:hdl\.handle\.net|(?:www\.)?(?:hathitrust\.org|archive\.org|books\.google))"
    r"|public domain[ ,]|copyrighted material\b|scanned (?:by|with) camscanner\b"
    r"|source gallica\.bnf\.fr|(?:this content )?downloaded from\b.{0,60}\d"
    r"|numérisé par\b|digitalisiert (?:von|durch)\b|digitalizado por\b)[^\n]{0,90}$",
    re.I | re.M,
)
_IMPRINT_WORDS = (  # without the letter that may be a capital
    "igitized by", "igitised by", "igitalisiert", "igitalizado", "uméris", "riginal from",
    "handle.net", "hathitrust", "archive.org", "books.google", "opyrighted material", "amScanner",
    "gallica.bnf.fr", "ownloaded from",
)  # fmt: skip
_SCANNERS = re.compile(r"google|internet archive|microsoft|hathi|gooq|camscanner", re.I)
_MIN_REPEATED = 3
_KEY_CHARS = 14
"""Characters that the lines of one scanner share; dates and addresses follow."""


def find_imprints(text: str) -> set[str]:
    """Return the lines of a scanner's imprint that repeat or name a known scanner."""
    if not any(word in text for word in _IMPRINT_WORDS):
        return set()
    counts: defaultdict[str, int] = defaultdict(int)
    for match in _IMPRINT.finditer(text):
        counts[match[0].strip("\f \t")] += 1
    same_start: defaultdict[str, int] = defaultdict(int)
    for line, count in counts.items():
        same_start[line[:_KEY_CHARS].lower()] += count
    return {
        line
        for line in counts
        if same_start[line[:_KEY_CHARS].lower()] >= _MIN_REPEATED or _SCANNERS.search(line)
    }
