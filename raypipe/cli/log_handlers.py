"""How a log reaches the terminal and `processing.log`; named in conf/hydra/job_logging."""

from __future__ import annotations

import copy
import logging
import sys


class TerminalFormatter(logging.Formatter):
    """Plain lines: tracebacks are for the file."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without the traceback."""
        plain = copy.copy(record)
        plain.exc_info = plain.exc_text = plain.stack_info = None
        return super().format(plain)


class LogFile(logging.FileHandler):
    """A log file that a run can do without: a full disk must not fill the terminal as well."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line; the file is opened with the first, which `FileHandler` lets fail."""
        try:
            super().emit(record)
        except OSError:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Say once what is wrong and write no more."""
        error = sys.exc_info()[1]
        reason = getattr(error, "strerror", None) or str(error)
        self.setLevel(logging.CRITICAL + 1)
        print(f"raypipe: {self.baseFilename}: {reason}; this run writes no log", file=sys.stderr)
