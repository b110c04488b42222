"""Shorten a query so that Lucene accepts it."""

from __future__ import annotations

import re

_WORD = re.compile(r"\w+")
_SINGLE = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\uffff\U00010000-\U0010ffff]")
"""Scripts, and emoji, in which the analyzers make about one term of each character."""
_MAX_TERM_CHARS = 255
"""Length at which the analyzers split a word."""


def shorten_query(query: str, max_terms: int) -> str:
    """Return a query that has at most about this many terms.

    A short query is returned unchanged. Of a long one the distinct words are returned in order,
    because a description repeats itself more the longer it is.
    """
    query = query.encode("utf-8", "replace").decode()
    if count_terms(query) <= max_terms:
        return query
    words: list[str] = []
    seen: set[str] = set()
    left = max_terms
    for word in _WORD.findall(query):
        # A text without spaces is a single word here.
        kept = word[: left if _SINGLE.search(word) else _MAX_TERM_CHARS]
        cost = max(1, len(_SINGLE.findall(kept)))
        if word.lower() in seen:
            continue
        if cost > left:
            break
        seen.add(word.lower())
        words.append(kept)
        left -= cost
    return " ".join(words)


def count_terms(query: str) -> int:
    """Return the number of terms that the analyzers make of a query, or somewhat more."""
    words = sum(-(-len(word) // _MAX_TERM_CHARS) for word in _WORD.findall(query))
    return words + len(_SINGLE.findall(query))
