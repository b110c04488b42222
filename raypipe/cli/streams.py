"""Standard streams that no output can break: closed, full, without a reader, or not UTF-8."""

from __future__ import annotations

import codecs
import io
import os
import select
import sys
from contextlib import suppress
from typing import Any

_ESCAPES = "raypipe.escape"


class _Descriptor(io.FileIO):
    """A file descriptor that stays open, and whose first error ends the writing without a raise.

    A command must not end with a traceback, or lose its exit code, because nobody reads its output.

    Attributes:
        error: The first error; None if there is none.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.error: OSError | None = None

    def write(self, data: Any, /) -> int:
        """Write bytes; after an error, discard them."""
        while self.error is None:
            try:
                written = super().write(data)
            except OSError as error:
                self.error = error
            else:
                if written is not None:
                    return written
                select.select([], [self], [])  # the terminal or pipe does not block, and is full
        return memoryview(data).nbytes


class StandardStreams:
    """stdout and stderr of a command, once `install` has replaced those of the process."""

    def __init__(self) -> None:
        self._stdout: _Descriptor | None = None

    def install(self) -> None:
        """Replace stdout and stderr, and open the null device for a closed stream."""
        codecs.register_error(_ESCAPES, _escape)
        for descriptor in range(3):
            try:
                os.fstat(descriptor)
            except OSError:
                os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
        if sys.stdin is None:
            sys.stdin = open(0, closefd=False)  # noqa: SIM115 - the null device
        self._stdout = _Descriptor(1)
        is_terminal = os.isatty(1)
        sys.stdout = _text_stream(self._stdout, sys.stdout, line_buffering=is_terminal)
        sys.stderr = _text_stream(_Descriptor(2), sys.stderr, line_buffering=True)

    def find_lost_output(self) -> str:
        """Write what is buffered; return why the command's output is incomplete, or ''.

        A reader that has gone, as in `| head`, has read what it wants.
        """
        if self._stdout is None:
            return ""
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        error = self._stdout.error
        if error is None or isinstance(error, BrokenPipeError):
            return ""
        return error.strerror or str(error)


def _text_stream(
    descriptor: _Descriptor, replaced: Any, *, line_buffering: bool
) -> io.TextIOWrapper:
    encoding = getattr(replaced, "encoding", None) or "utf-8"
    return io.TextIOWrapper(
        io.BufferedWriter(descriptor), encoding, _ESCAPES, line_buffering=line_buffering
    )


def _escape(error: UnicodeError) -> tuple[str, int]:
    r"""Replace characters that an encoding lacks by `\u4e2d`, which JSON reads as the same."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    pairs = (units[start : start + 2].hex() for start in range(0, len(units), 2))
    return "".join(f"\\u{pair}" for pair in pairs), error.end
