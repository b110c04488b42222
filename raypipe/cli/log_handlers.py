"""Logging to the terminal and to `processing.log`; conf/hydra/job_logging names these classes."""

from __future__ import annotations

import copy
import logging
import sys
from contextlib import suppress
from datetime import UTC, datetime
from io import TextIOWrapper
from itertools import count
from pathlib import Path
from typing import Any, cast

from raypipe.core.activity import activity
from raypipe.core.printable import escape_line, indent_lines, to_json
from raypipe.core.private_files import open_private
from raypipe.core.redact import redact_urls


class LineFormatter(logging.Formatter):
    """Formats a record as one line; the lines of a traceback are indented.

    A message may quote a book's key, a server's answer or a library's error. It can neither act on
    the terminal nor add a line that looks like a record, and it has no password in a URL.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the message with date and level, on one line."""
        return escape_line(redact_urls(super().formatMessage(record)))

    def formatException(self, ei: Any) -> str:
        """Return a traceback, indented."""
        return indent_lines(redact_urls(super().formatException(ei)))

    def formatStack(self, stack_info: str) -> str:
        """Return a stack, indented."""
        return indent_lines(redact_urls(super().formatStack(stack_info)))


class TerminalFormatter(LineFormatter):
    """Formats a record as one line, without its traceback; the log file has the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message without the traceback."""
        activity.sign()
        plain = copy.copy(record)
        plain.exc_info = plain.exc_text = plain.stack_info = None
        return super().format(plain)


class JsonFormatter(logging.Formatter):
    """Formats a record as a JSON object on one line, for log collectors.

    The keys: `at` (UTC, ISO 8601), `level`, `message`, `run_id`, `doing` (the step of the run), and
    where they are known `key`, `stage` and `kind` of a failed book, `progress` (the numbers of
    progress.json) and `traceback`.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the object."""
        activity.sign()
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": redact_urls(record.getMessage()),
            "run_id": activity.run_id,
            "doing": activity.text,
        }
        extras = ((name, getattr(record, name, None)) for name in ("key", "stage", "kind"))
        line |= {name: redact_urls(str(value)) for name, value in extras if value is not None}
        if (progress := getattr(record, "progress", None)) is not None:
            line["progress"] = progress
        if record.exc_info:
            line["traceback"] = redact_urls(self.formatException(record.exc_info))
        return to_json(line)


def log_as_json() -> None:
    """Let the terminal and the log file have JSON lines from now on."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(JsonFormatter())


def logs_json() -> bool:
    """Return whether the terminal has JSON lines."""
    handlers = logging.getLogger().handlers
    return any(isinstance(handler.formatter, JsonFormatter) for handler in handlers)


class LogFile(logging.FileHandler):
    """A log file of one command at a time, that may fail: without it, the run continues.

    While another command writes `processing.log` in the same folder, or if the file is another
    user's, this one writes `processing-2.log`. A new file has the mode 0600. The first error is
    printed and ends the logging to the file, so a full disk does not fill the terminal with errors.
    """

    @property
    def is_writing(self) -> bool:
        """Whether no error has ended the logging to the file."""
        return self.level <= logging.CRITICAL

    def write_line(self, level: int, message: str) -> None:
        """Write a record that the terminal has seen in another form."""
        if self.is_writing:
            self.handle(logging.LogRecord("raypipe", level, "", 0, "%s", (message,), None))

    def _open(self) -> TextIOWrapper:
        first = Path(self.baseFilename)
        for number in count(2):
            if (stream := self._try_open()) is not None:
                return stream
            self.baseFilename = str(first.with_stem(f"{first.stem}-{number}"))
        raise AssertionError  # `count` does not end

    def _try_open(self) -> TextIOWrapper | None:
        """Open and lock the file; return None if another command or user has it."""
        try:
            stream = cast(
                TextIOWrapper,
                open(  # noqa: SIM115
                    self.baseFilename,
                    self.mode,
                    encoding=self.encoding,
                    errors=self.errors,
                    opener=open_private,
                ),
            )
        except PermissionError:
            if not Path(self.baseFilename).exists():
                raise
            return None
        if _lock(stream):
            return stream
        stream.close()
        return None

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
        message = f"raypipe: {self.baseFilename}: {reason}; this run writes no log"
        print(escape_line(message), file=sys.stderr)


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
