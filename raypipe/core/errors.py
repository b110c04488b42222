"""Errors that cross packages: of a command, of a book, and of a book left for another run."""

from __future__ import annotations

from typing import Any

from raypipe.core.printable import escape_line
from raypipe.core.redact import redact_urls


class RaypipeError(Exception):
    """A command ends without a result; the message is one line with the cause and the fix.

    A message may quote a book's key, an option or a library's error: it is kept on one line, and
    user names, passwords and tokens in URLs are removed.
    """

    def __init__(self, message: object = "") -> None:
        super().__init__(escape_line(redact_urls(str(message))))


class SetupError(RaypipeError):
    """A command cannot be carried out; the message is one line with the cause and the fix."""


class StateInUseError(SetupError):
    """Another run writes to the state; the message names its process."""


class OptionError(RaypipeError):
    """An option is wrong; the message is one line with the option and its valid values."""


class BookError(Exception):
    """A book cannot be processed; other books can.

    Args:
        kind: A short stable word, see `raypipe.ledger.failure_log.KINDS`.
        message: What happened, for messages. It must not quote the text of the book.
        retryable: Whether a later run may succeed with the same book.
    """

    def __init__(self, kind: str, message: str, *, retryable: bool = False) -> None:
        message = redact_urls(message)  # it is kept in the state
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.retryable = retryable

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with all arguments: the default of Exception loses `retryable`."""
        return (_book_error, (self.kind, self.message, self.retryable))


def _book_error(kind: str, message: str, retryable: bool) -> BookError:
    return BookError(kind, message, retryable=retryable)


class BookLeftError(Exception):
    """A book is left for another run, because of a stop or an exhausted budget.

    Args:
        reason: Why, for messages.
        stops: Whether the whole run must stop, because the budget is used up.
    """

    def __init__(self, reason: str, *, stops: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.stops = stops

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with all arguments: the default of Exception loses `stops`."""
        return (_book_left_error, (self.reason, self.stops))


def _book_left_error(reason: str, stops: bool) -> BookLeftError:
    return BookLeftError(reason, stops=stops)
