"""Logging to the terminal and to `processing.log`; conf/hydra/job_logging names these classes."""

from __future__ import annotations

import copy
import logging
import sys
from contextlib import suppress
from io import TextIOWrapper
from itertools import count
from pathlib import Path


class TerminalFormatter(logging.Formatter):
    """Formats a record as plain lines, without its traceback; the log file has the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message without the traceback."""
        plain = copy.copy(record)
        plain.exc_info = plain.exc_text = plain.stack_info = None
        return super().format(plain)


class LogFile(logging.FileHandler):
    """A log file of one command at a time, that may fail: without it, the run continues.

    While another command writes `processing.log` in the same folder, this one writes
    `processing-2.log`. The first error is printed and ends the logging to the file, so a full disk
    does not fill the terminal with errors.
    """

    @property
    def is_writing(self) -> bool:
        """Whether no error has ended the logging to the file."""
        return self.level <= logging.CRITICAL

    def _open(self) -> TextIOWrapper:
        first = Path(self.baseFilename)
        for number in count(2):
            stream = super()._open()
            if _lock(stream):
                return stream
            stream.close()
            self.baseFilename = str(first.with_stem(f"{first.stem}-{number}"))
        raise AssertionError  # `count` does not end

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


def _lock(stream: TextIOWrapper) -> bool:
    """Lock a log file until it is closed; return False if another process has locked it."""
    with suppress(ImportError, OSError):  # a file system or a platform without locks
        import fcntl

        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def find_log_file() -> LogFile | None:
    """Return the handler of this process's log file; None if it has none."""
    files = (each for each in logging.getLogger().handlers if isinstance(each, LogFile))
    return next(files, None)


def log_file() -> Path | None:
    """Return the log file of this process; None if it has none."""
    handler = find_log_file()
    return Path(handler.baseFilename) if handler is not None else None
