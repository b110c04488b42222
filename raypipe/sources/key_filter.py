"""Select the keys of a listing that are books, and count the other keys by ending or reason."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

COMPRESSED_ENDINGS = (".gz", ".bz2", ".zst")
BOOK_ENDINGS = (
    *(".txt", ".text", ".md", ".markdown", ".html", ".htm", ".xhtml", ".epub", ".docx", ".pdf"),
    *(*COMPRESSED_ENDINGS, ".zip"),
)
"""Endings of the formats that raypipe reads; `conf/storage` has them, too."""
NO_ENDING, OTHER = "no ending", "other endings"
APPLE_DOUBLE, MACOSX, DS_STORE = "AppleDouble", "__MACOSX", ".DS_Store"
FOLDER_MARKER = "folder marker"
README = "README.md"

_MEMBER = re.compile(r"(.*?\.zip)!(.+)", re.I | re.S)
_MAX_REASONS = 200
"""Endings that are counted by name. A bucket may have a million; the rest is `OTHER`."""
_MAX_ENDING_CHARS = 10
_SHOWN = 8


@dataclass
class NotTaken:
    """Count the keys that a listing does not take, in bounded memory.

    Args:
        counts: Number of keys by ending (`.jpg`, in small letters) or reason (`AppleDouble`).
    """

    counts: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        """Return the number of keys."""
        return self.counts.total()

    def add(self, reason: str) -> None:
        """Count a key."""
        if reason not in self.counts and len(self.counts) >= _MAX_REASONS:
            reason = OTHER
        self.counts[reason] += 1


@dataclass(frozen=True)
class KeyFilter:
    """Decide from a key alone whether it is the key of a book.

    Files that operating systems leave behind (`._x`, `__MACOSX/`, `.DS_Store`) and the markers of
    empty folders are never books; nor is `README.md`, unless all keys are taken.

    Args:
        prefix: Take only keys that begin with this.
        suffixes: Take only keys that end with one of these, in any case; empty for all keys.
    """

    prefix: str = ""
    suffixes: Iterable[str] = ()

    @cached_property
    def _endings(self) -> tuple[str, ...]:
        endings = tuple(suffix.lower() for suffix in self.suffixes)
        return endings if all(endings) else ()  # every key ends with ''

    @cached_property
    def _sure_endings(self) -> tuple[str, ...]:
        """Return the endings that are enough; `data.csv.gz` does not become a book by its `.gz`."""
        sure = tuple(ending for ending in self._endings if ending not in COMPRESSED_ENDINGS)
        return sure or self._endings

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self._endings), default=0)

    def selects(self, key: str) -> bool:
        """Return whether a key is the key of a book."""
        if not key.startswith(self.prefix):
            return False
        if parts := split_member(key):
            archive, member = parts
            return not self._reason(archive) and self.selects_member(member)
        return not self._reason(key)

    def selects_member(self, name: str) -> bool:
        """Return whether the name of a member of an archive is that of a book."""
        return not self._reason(name) and not is_archive(name)

    def counting(self, not_taken: NotTaken, prefix: str | None = None) -> Callable[[str], bool]:
        """Return `selects` as a function that counts the other keys.

        A key without the prefix is not counted: it was not asked for.

        Args:
            not_taken: Counts the other keys.
            prefix: '' for the names of the members of an archive; None for the own prefix.
        """
        reason_of, add = self._reason, not_taken.add
        endings = tuple(ending for ending in self._sure_endings if ending != ".md")
        prefix = self.prefix if prefix is None else prefix

        known: dict[str, str] = {}  # endings as they are written, and their reason
        # Another suffix, such as `_clean.txt`, does not depend on the ending alone.
        is_simple = all(ending.rfind(".") == 0 for ending in self._endings)
        counts = not_taken.counts

        def selects(key: str) -> bool:
            # Most keys of most buckets are decided by their ending, several times as fast.
            is_ordinary = "._" not in key and "__MACOSX" not in key and key.startswith(prefix)
            if is_ordinary and endings and key.endswith(endings):
                return True
            dot = key.rfind(".")
            ending = key[dot:]
            if is_ordinary and ending in known and dot > 0 and key[dot - 1] != "/":
                counts[known[ending]] += 1
                return False
            if not key.startswith(prefix):
                return False
            reason = reason_of(key)
            if not reason:
                return True
            add(reason)
            if is_simple and reason == ending.lower() and reason in counts:
                known[ending] = reason
            return False

        return selects

    def _reason(self, key: str) -> str:
        """Return why a key is not taken; '' if it is."""
        if key[-1:] == "/":
            return FOLDER_MARKER
        if "._" in key and key[key.rfind("/") + 1 :].startswith("._"):
            return MACOSX if "__MACOSX/" in key else APPLE_DOUBLE
        if "__MACOSX/" in key and f"/{key}".find("/__MACOSX/") >= 0:
            return MACOSX
        if self._endings and key[key.rfind("/") + 1 :].lower() == README.lower():
            return README
        if key.endswith(DS_STORE) and key[key.rfind("/") + 1 :] == DS_STORE:
            return DS_STORE
        sure = self._sure_endings
        last = key[-self._longest :].lower() if sure else ""
        if not sure or last.endswith(sure):
            return ""
        ending = ending_of(key)
        if not last.endswith(self._endings):
            return ending
        inner = ending_of(key[: -len(ending)])
        if inner == NO_ENDING or inner in sure:
            return ""
        return f"{inner}{ending}" if inner != OTHER else ending


def is_archive(key: str) -> bool:
    """Return whether a key is that of a zip archive."""
    return key[-4:].lower() == ".zip"


def split_member(key: str) -> tuple[str, str] | None:
    """Return the keys of an archive and of its member; None if a key is none of a member."""
    match = _MEMBER.fullmatch(key) if "!" in key else None
    return (match[1], match[2]) if match else None


def ending_of(key: str) -> str:
    """Return the ending of a key in small letters, `NO_ENDING` or `OTHER` for an odd one."""
    stem, dot, ending = key[key.rfind("/") + 1 :].rpartition(".")
    if not dot or not stem or not ending:
        return NO_ENDING
    if len(ending) > _MAX_ENDING_CHARS or not (ending.isascii() and ending.isalnum()):
        return OTHER
    return f".{ending.lower()}"


def describe_not_taken(counts: Mapping[str, int]) -> str:
    """Return `not taken 37: 31 .jpg, 4 .opf, 2 AppleDouble`, or '' if every key was taken.

    Args:
        counts: Number of keys by ending or reason.
    """
    if not counts:
        return ""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{count:,} {reason}" for reason, count in ordered[:_SHOWN]]
    if hidden := sum(count for _, count in ordered[_SHOWN:]):
        shown.append(f"{hidden:,} others")
    return f"not taken {sum(counts.values()):,}: {', '.join(shown)}"
