from __future__ import annotations

import signal
import threading
import time

import pytest

from raypipe.coordination.signals import StopTimeout, interruptible


def test_a_block_can_be_ended_from_another_thread() -> None:
    previous = signal.getsignal(signal.SIGUSR1)
    started = time.monotonic()
    with pytest.raises(StopTimeout):
        _wait_to_be_interrupted()
    assert time.monotonic() - started < 30
    assert signal.getsignal(signal.SIGUSR1) == previous


def _wait_to_be_interrupted() -> None:
    with interruptible() as interrupt:
        threading.Timer(0.1, interrupt).start()
        time.sleep(60)


def test_a_block_that_ends_by_itself_is_not_interrupted() -> None:
    with interruptible():
        pass
