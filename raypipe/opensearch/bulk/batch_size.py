"""Adapt the bytes of bulk requests and the waits between them to the server's load."""

from __future__ import annotations

from dataclasses import dataclass, field

MEBIBYTE = 1024 * 1024
_MIN_BYTES = 64 * 1024
_SUCCESSES_TO_GROW = 10
"""Successful requests after which the size grows again, by a mebibyte."""
_CUTS_TO_HALVE = 2
"""Cut connections in a row after which requests are halved: some proxies cut large requests."""
OVERLOAD_SHARE = 0.5
"""Share of refused documents (429) from which a request was too large for the server's load."""
DISK_FULL_S = 30.0
"""Seconds to wait while the server's disks are too full to write, for the user to free space."""
_MAX_RETRY_AFTER_S = 300.0


@dataclass
class AdaptiveBatchSize:
    """Bytes of a bulk request: halved when the server is overloaded, grown again slowly.

    Args:
        limit: Upper bound of the size in bytes; lowered for good when a request is too large for
            the server or a proxy.
    """

    limit: int
    bytes: int = field(init=False)
    _wait_s: float = 0.0  # at least, before the next request
    _cuts: int = 0
    _successes: int = 0

    def __post_init__(self) -> None:
        """Begin with the largest size."""
        self.bytes = self.limit

    def record_too_large(self, size: int) -> None:
        """Note that a request of this size is too large for the server or a proxy."""
        self.limit = self.bytes = size // 2

    def record_no_response(self, size: int, *, was_cut: bool) -> None:
        """Note a request without a response, and whether its connection was cut."""
        self._cuts = self._cuts + 1 if was_cut else 0
        if self._cuts >= _CUTS_TO_HALVE and size > MEBIBYTE:
            self.limit = self.bytes = max(MEBIBYTE, size // 2)

    def record_refused(self, size: int, share: float = 1.0) -> None:
        """Note that the overloaded server refused this share of a request's documents."""
        if share >= OVERLOAD_SHARE:
            self.bytes = max(min(_MIN_BYTES, self.limit), min(size, self.bytes) // 2)
            self._successes = 0

    def record_response(self) -> None:
        """Note a request that was answered as a whole."""
        self._cuts, self._successes = 0, self._successes + 1
        if self._successes >= _SUCCESSES_TO_GROW and self.bytes < self.limit:
            self.bytes, self._successes = min(self.limit, self.bytes + MEBIBYTE), 0

    def require_wait(self, seconds: float | None, *, disk_full: bool = False) -> None:
        """Note the seconds that the server asks to wait; None if it asks for nothing."""
        wanted = min(seconds or 0.0, _MAX_RETRY_AFTER_S)
        self._wait_s = max(self._wait_s, wanted, DISK_FULL_S if disk_full else 0.0)

    @property
    def has_wait(self) -> bool:
        """Whether a wait is due before the next request."""
        return self._wait_s > 0

    def take_wait(self) -> float:
        """Return the seconds to wait before the next request, and reset them."""
        seconds, self._wait_s = self._wait_s, 0.0
        return seconds
