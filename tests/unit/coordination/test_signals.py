from __future__ import annotations

import signal
import threading
import time

import pytest

from raypipe.coordination.signals import StopTimeout, interruptible


def test_a_block_is_ended_from_another_thread() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    began = time.monotonic()
    with pytest.raises(StopTimeout):
        _wait_to_be_interrupted()
    assert time.monotonic() - began < 30
    assert signal.getsignal(signal.SIGUSR1) == before


def _wait_to_be_interrupted() -> None:
    with interruptible() as interrupt:
        threading.Timer(0.1, interrupt).start()
        time.sleep(60)


def test_a_block_that_ends_by_itself_is_left_alone() -> None:
    with interruptible():
        pass
