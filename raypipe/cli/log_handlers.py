"""Logging to the terminal and to `processing.log`; conf/hydra/job_logging names these classes."""

from __future__ import annotations

import copy
import logging
import sys


class TerminalFormatter(logging.Formatter):
    """Formats a record as plain lines, without its traceback; the log file has the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message without the traceback."""
        plain = copy.copy(record)
        plain.exc_info = plain.exc_text = plain.stack_info = None
        return super().format(plain)


class LogFile(logging.FileHandler):
    """A log file that may fail: without it, the run continues.

    The first error is printed and ends the logging to the file, so a full disk does not fill the
    terminal with errors.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record. The first record opens the file, where `FileHandler` raises OSError."""
        try:
            super().emit(record)
        except OSError:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Print the current error, and write no further records."""
        error = sys.exc_info()[1]
        reason = getattr(error, "strerror", None) or str(error)
        self.setLevel(logging.CRITICAL + 1)
        print(f"raypipe: {self.baseFilename}: {reason}; this run writes no log", file=sys.stderr)
