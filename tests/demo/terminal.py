"""Record what a command prints on a terminal, and replay it as frames."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyte

COLUMNS, LINES = 100, 28
_SETTLE_S = 0.2
"""Output that comes within this time is one frame, so that none shows a half-drawn table."""
_LONGEST_WAIT_S = 2.5
"""Waits without any output are cut to this: they are the machine's, such as a start of Ray."""


@dataclass(frozen=True)
class Output:
    """What a command wrote, and when: seconds since the start of the recording."""

    at: float
    data: bytes


@dataclass(frozen=True)
class Run:
    """Characters of the same style in a line, from a column on."""

    column: int
    text: str
    is_bold: bool = False


@dataclass(frozen=True)
class Frame:
    """The screen for some seconds: the characters of each line that is not empty, by its number."""

    seconds: float
    lines: Mapping[int, tuple[Run, ...]]


def record(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], timeout_s: float
) -> tuple[int, list[Output]]:
    """Run a command on a terminal of `COLUMNS` by `LINES`; return its exit code and its output."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    began, outputs = time.monotonic(), []
    try:
        while (passed := time.monotonic() - began) < timeout_s:
            ready, _, _ = select.select([ours], [], [], timeout_s - passed)
            data = _read(ours) if ready else b""
            if not data:
                break
            outputs.append(Output(time.monotonic() - began, data))
        return process.wait(max(timeout_s - passed, 1.0)), outputs
    finally:
        os.close(ours)
        process.kill()
        process.wait()


def replay(outputs: Sequence[Output], *, speed: float, last_s: float) -> list[Frame]:
    """Return the frames that a terminal shows.

    Args:
        outputs: The recording.
        speed: How many times faster than the recording the frames are.
        last_s: Seconds of the last frame.
    """
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    frames: list[Frame] = []
    passed = 0.0
    for number, output in enumerate(outputs):
        stream.feed(output.data)
        is_last = number == len(outputs) - 1
        wait = 0.0 if is_last else outputs[number + 1].at - output.at
        passed += min(wait, _LONGEST_WAIT_S)
        if not is_last and wait < _SETTLE_S:
            continue
        seconds = last_s if is_last else passed / speed
        lines = read_lines(screen)
        if frames and frames[-1].lines == lines:
            frames[-1] = Frame(frames[-1].seconds + seconds, lines)
        else:
            frames.append(Frame(seconds, lines))
        passed = 0.0
    return frames


def read_lines(screen: pyte.Screen) -> dict[int, tuple[Run, ...]]:
    """Return the characters on a screen."""
    lines = {}
    for number in range(screen.lines):
        runs: list[Run] = []
        row = screen.buffer[number]
        for column in range(screen.columns):
            char = row[column]
            if runs and runs[-1].is_bold == char.bold:
                runs[-1] = Run(runs[-1].column, runs[-1].text + char.data, char.bold)
            else:
                runs.append(Run(column, char.data, char.bold))
        stripped = [Run(run.column, run.text.rstrip(), run.is_bold) for run in runs]
        if kept := tuple(run for run in stripped if run.text):
            lines[number] = kept
    return lines


def _read(terminal: int) -> bytes:
    """Return the next output; empty at the end, where Linux reports an input/output error."""
    try:
        return os.read(terminal, 1 << 16)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return b""
