from __future__ import annotations

import os
import signal
import threading

import pytest

from raypipe.cli.stop_signals import STOP_REQUESTED, StopSignals
from raypipe.core.stop import StopRequest, describe_stop, request_stop


@pytest.mark.parametrize(
    ("number", "name"), [(signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "SIGINT (Ctrl-C)")]
)
def test_a_signal_is_named_in_the_reason(number: int, name: str) -> None:
    with StopSignals() as signals, signals.listen() as requested:
        os.kill(os.getpid(), number)
        assert requested.wait(10)
        assert describe_stop("asked to stop", requested) == f"asked to stop by {name}"
    STOP_REQUESTED.clear()


def test_the_callers_event_and_the_first_request_are_named() -> None:
    event = threading.Event()
    request = StopRequest("the caller's event", event)
    assert not request.is_set()
    event.set()
    assert request.is_set()
    request_stop(request, "Ctrl-C")
    assert describe_stop("asked to stop", request) == "asked to stop by the caller's event"


def test_an_event_without_an_origin_gives_the_bare_reason() -> None:
    event = threading.Event()
    request_stop(event, "Ctrl-C")
    assert event.is_set()
    assert describe_stop("lock lost", event) == "lock lost"
