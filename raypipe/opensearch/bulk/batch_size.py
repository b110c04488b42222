"""How much a writer sends at once and how long it rests: less where a server has trouble."""

from __future__ import annotations

from dataclasses import dataclass, field

from raypipe.opensearch.index.config import MEBIBYTE

_FEWEST_BYTES = 64 * 1024
_CLEAN = 10
"""Requests without trouble after which more is sent again, a mebibyte at a time."""
_DROPS = 2
"""Requests that a connection drops before they are halved: some proxies say too large so."""
MOST_REFUSED = 0.5
"""Share of a request's documents, refused for being too many, from which it was too large."""
DISK_FULL_S = 30.0
"""Rest while the disks of the server are too full to write: a person must do something."""
_LONGEST_RETRY_AFTER_S = 300.0


@dataclass
class AdaptiveBatchSize:
    """Bytes a request, halved when a server refuses for load, and grown slowly again.

    Args:
        limit: Most bytes that are ever sent; what is too large for a server or proxy lowers it
            for good.
    """

    limit: int
    bytes: int = field(init=False)
    rest_s: float = 0.0  # at least, before the next request
    _drops: int = 0
    _clean: int = 0

    def __post_init__(self) -> None:
        """Begin with the most."""
        self.bytes = self.limit

    def too_large(self, size: int) -> None:
        """Note that a request of this size is too large there."""
        self.limit = self.bytes = size // 2

    def dropped(self, size: int, *, cut: bool) -> None:
        """Note a request that got no answer; whether its connection was cut tells why."""
        self._drops = self._drops + 1 if cut else 0
        if self._drops >= _DROPS and size > MEBIBYTE:
            self.limit = self.bytes = max(MEBIBYTE, size // 2)

    def refused(self, size: int, share: float = 1.0) -> None:
        """Note that a share of a request was refused because the server has too much to do."""
        if share >= MOST_REFUSED:
            self.bytes = max(min(_FEWEST_BYTES, self.limit), min(size, self.bytes) // 2)
            self._clean = 0

    def taken(self) -> None:
        """Note a request that was answered as a whole."""
        self._drops, self._clean = 0, self._clean + 1
        if self._clean >= _CLEAN and self.bytes < self.limit:
            self.bytes, self._clean = min(self.limit, self.bytes + MEBIBYTE), 0

    def wait(self, seconds: float | None, *, disk_full: bool = False) -> None:
        """Note how long the server wants to be left alone."""
        wanted = min(seconds or 0.0, _LONGEST_RETRY_AFTER_S)
        self.rest_s = max(self.rest_s, wanted, DISK_FULL_S if disk_full else 0.0)

    def rested(self) -> float:
        """Return the seconds to rest, once."""
        rest, self.rest_s = self.rest_s, 0.0
        return rest
