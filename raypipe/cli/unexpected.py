"""Report an error that raypipe does not expect: a line for its user, the traceback in a file."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import threading
import traceback
from contextlib import suppress
from typing import Any

from raypipe.cli.log_handlers import find_log_file

log = logging.getLogger("raypipe")

_MAX_CHARS = 300


def explain_unexpected(error: BaseException) -> str:
    """Return a line about an error; its traceback is written to the log file or a new file."""
    place = _save_traceback(error)
    details = f"the traceback is in {place}" if place else "no file for the traceback can be made"
    text = (str(error).strip().splitlines() or [""])[0][:_MAX_CHARS]
    if isinstance(error, MemoryError):
        return f"the memory of this machine is used up; use fewer workers ({details})"
    if isinstance(error, OSError) and error.strerror:
        name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
        where = f"{name}: " if name else ""
        return f"{where}{error.strerror}; check permissions, disk and limits ({details})"
    cause = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return f"unexpected {cause}; {details}: please report it, it is a fault of raypipe"


def install_thread_hooks() -> None:
    """Log errors of threads and destructors as a line, where Python prints a traceback."""

    def report_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
            log.error("a thread of raypipe ended: %s", explain_unexpected(args.exc_value))

    def report_unraisable(args: Any) -> None:
        # An interrupt in a destructor: the handler of signals has noted it.
        if not isinstance(args.exc_value, KeyboardInterrupt):
            log.debug("ignored in %r", args.object, exc_info=args.exc_value)

    threading.excepthook = report_thread
    sys.unraisablehook = report_unraisable


def _save_traceback(error: BaseException) -> str:
    """Write a traceback to the log file, else to a new file; return its path, or ''."""
    file = find_log_file()
    if file is not None and file.is_writing:
        info = (type(error), error, error.__traceback__)
        record = log.makeRecord(
            log.name, logging.ERROR, __file__, 0, "unexpected error", (), exc_info=info
        )
        file.handle(record)
        if file.is_writing:
            return file.baseFilename
    with suppress(OSError):
        descriptor, path = tempfile.mkstemp(prefix="raypipe-traceback-", suffix=".txt")
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as stream:
            traceback.print_exception(error, file=stream)
        return path
    return ""
