"""A command ends with its exit code and without a traceback, wherever its output goes."""

from __future__ import annotations

import codecs
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from raypipe.cli import streams

RAYPIPE = (sys.executable, "-m", "raypipe")
NO_SPACE = (
    "raypipe: the output is incomplete: standard output cannot be written: No space left on "
    "device; free some space, or send the output elsewhere\n"
)


def test_a_full_disk_is_one_line() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*RAYPIPE, "--version"], stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr.decode()) == (1, NO_SPACE)


def test_a_reader_that_leaves_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*RAYPIPE, "--help"], stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(("closed", "argument", "code"), [(1, "--help", 0), (2, "serch", 2)])
def test_a_closed_stream_keeps_the_exit_code(closed: int, argument: str, code: int) -> None:
    done = subprocess.run(
        [*RAYPIPE, argument], capture_output=True, preexec_fn=lambda: os.close(closed)
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, b"", b"")


def test_no_space_for_errors_keeps_the_exit_code() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*RAYPIPE, "serch"], stderr=full, stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (2, b"")


def test_an_ascii_terminal_gets_escapes() -> None:
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*RAYPIPE, "书"], env=env, capture_output=True, text=True)
    assert done.returncode == 2
    assert "\\u4e66" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("text", ["书", "é", "🏰", "half \udce9 a file name"])
def test_escapes_are_those_of_json(text: str) -> None:
    codecs.register_error("test.escape", streams._escape)
    escaped = json.dumps(text, ensure_ascii=False).encode("ascii", "test.escape")
    assert json.loads(escaped) == text


def test_a_pipe_that_does_not_block_gets_everything() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    size = 1 << 20
    written: list[int] = []

    def read() -> None:
        while len(written) < size and (data := os.read(reader, 1 << 16)):
            written.extend([0] * len(data))

    run_beside(read, lambda: write_all(writer, b"x" * size))
    assert len(written) == size
    os.close(reader)
    os.close(writer)


def write_all(descriptor: int, data: bytes) -> None:
    """Write bytes through a stream of the command line."""
    stream = streams._text_stream(streams._Descriptor(descriptor), None, line_buffering=False)
    stream.buffer.write(data)
    stream.flush()


def run_beside(beside: Callable[[], None], work: Callable[[], None]) -> None:
    """Run two functions at a time."""
    import threading

    thread = threading.Thread(target=beside)
    thread.start()
    work()
    thread.join(60)
