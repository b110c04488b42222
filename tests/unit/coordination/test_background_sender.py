from __future__ import annotations

import logging
import threading
import time

import pytest

from raypipe.coordination import background_sender
from raypipe.coordination.background_sender import BackgroundSender, SendError


def test_messages_are_sent_in_their_order() -> None:
    sent: list[int] = []
    sender = BackgroundSender("test", sent.append)
    for number in range(5):
        sender.submit(number)
    sender.wait(30)
    assert sent == [0, 1, 2, 3, 4]
    assert sender.is_idle


def test_the_thread_ends_without_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_sender, "IDLE_S", 0.02)
    sent: list[int] = []
    sender = BackgroundSender("idle sender", sent.append)
    for number in range(2):
        sender.submit(number)
        sender.wait(30)
        deadline = time.monotonic() + 30
        while any(thread.name == "idle sender" for thread in threading.enumerate()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert sent == [0, 1]


def test_the_first_failure_is_a_warning_and_later_messages_are_sent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sent: list[int] = []

    def send(number: int) -> None:
        if number < 2:
            raise SendError(f"failure {number}")
        sent.append(number)

    caplog.set_level(logging.DEBUG)
    sender = BackgroundSender("notify.test", send)
    for number in range(3):
        sender.submit(number)
    sender.wait(30)
    assert sent == [2]
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "notify.test: not sent: failure 0"),
        ("DEBUG", "notify.test: not sent: failure 1"),
    ]


def test_the_text_of_an_unknown_error_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    def send(_: int) -> None:
        raise RuntimeError("POST https://hooks.example/secret")

    caplog.set_level(logging.DEBUG)
    sender = BackgroundSender("notify.test", send)
    sender.submit(1)
    sender.wait(30)
    assert caplog.messages == ["notify.test: not sent: RuntimeError"]
    assert caplog.records[0].exc_info is None


def test_a_receiver_that_hangs_is_given_up(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background_sender, "MAX_WAITING", 2)
    opened = threading.Event()

    def send(_: int) -> None:
        opened.wait(30)

    sender = BackgroundSender("notify.test", send)
    sender._waiting.maxsize = 2
    began = time.monotonic()
    for number in range(9):
        sender.submit(number)
    sender.wait(0.2)
    assert time.monotonic() - began < 5
    opened.set()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "too slow" in caplog.text
    sender.wait(30)
    assert sender.is_idle
