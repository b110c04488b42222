"""What a signal does to a command, from its first moment to its last."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from raypipe.cli.stop_signals import STOP_REQUESTED, StopSignals, interrupt_on_signal

NUMBERS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """Begin without a stop, and with SIGHUP, which `nohup` ignores for the tests."""
    previous = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    STOP_REQUESTED.clear()
    yield
    STOP_REQUESTED.clear()
    signal.signal(signal.SIGHUP, previous)


def run(code: str, number: signal.Signals) -> subprocess.CompletedProcess[str]:
    """Run code that signals itself."""
    lines = f"import signal\nfrom raypipe.cli import stop_signals as s\nn = {number.value}\n{code}"
    return subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True)


@pytest.mark.parametrize("number", NUMBERS)
def test_before_its_work_a_command_ends_at_once(number: signal.Signals) -> None:
    done = run("s.end_on_signal(); signal.raise_signal(n)", number)
    name = "SIGINT (Ctrl-C)" if number == signal.SIGINT else number.name
    assert done.returncode == 4
    assert done.stderr == f"raypipe: stopped by {name} before any work was started\n"


@pytest.mark.parametrize("number", NUMBERS)
def test_after_its_work_a_command_keeps_its_exit_code(number: signal.Signals) -> None:
    done = run("s.end_on_signal(3); signal.raise_signal(n)", number)
    assert (done.returncode, done.stderr) == (3, "")


def test_a_command_under_nohup_outlives_its_terminal() -> None:
    code = "signal.signal(n, signal.SIG_IGN); s.end_on_signal(); signal.raise_signal(n); print(1)"
    assert run(code, signal.SIGHUP).stdout == "1\n"


@pytest.mark.parametrize("number", NUMBERS)
def test_a_working_command_is_interrupted(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt, match=r"Ctrl-C|SIGTERM|SIGHUP"), interrupt_on_signal():
        signal.raise_signal(number)
    assert signal.getsignal(number) is before
    assert STOP_REQUESTED.is_set()


def test_the_second_signal_ends_the_process() -> None:
    code = """
with s.interrupt_on_signal():
    try:
        signal.raise_signal(n)
    finally:
        signal.raise_signal(n)
        print("still here")
"""
    done = run(code, signal.SIGTERM)
    assert (done.returncode, done.stdout, done.stderr) == (4, "", "")


@pytest.mark.parametrize("number", NUMBERS)
def test_a_run_is_asked_to_stop(number: signal.Signals) -> None:
    with interrupt_on_signal(), StopSignals() as signals, signals.listen() as requested:
        assert not requested.is_set()
        signal.raise_signal(number)
        assert requested.is_set()


def test_a_signal_after_the_books_changes_nothing() -> None:
    """The run is recorded, and its result is yet to be printed."""
    with interrupt_on_signal(), StopSignals() as signals:
        with signals.listen() as requested:
            pass
        signal.raise_signal(signal.SIGTERM)
        assert requested.is_set()
        assert STOP_REQUESTED.is_set()


def test_a_signal_that_python_lost_stops_the_run() -> None:
    STOP_REQUESTED.set()
    with StopSignals() as signals, signals.listen() as requested:
        assert requested.is_set()
