from __future__ import annotations

import logging
import time

import pytest

from raypipe.core import activity as module
from raypipe.core.activity import activity, signs_of_life


def test_silence_is_broken_by_what_the_block_does(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "FIRST_SIGN_S", 0.05)
    monkeypatch.setattr(module, "EVERY_S", 0.1)
    monkeypatch.setattr(module, "_TICK_S", 0.02)
    listing = activity.doing("listing the books")
    with caplog.at_level(logging.INFO, logger="raypipe"), signs_of_life(), listing:
        time.sleep(0.5)
    assert len(caplog.messages) >= 3
    assert all(message == "listing the books (0s)" for message in caplog.messages)


def test_a_terminal_that_shows_something_gets_no_signs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "FIRST_SIGN_S", 0.2)
    monkeypatch.setattr(module, "_TICK_S", 0.02)
    with caplog.at_level(logging.INFO, logger="raypipe"), signs_of_life():
        for _ in range(20):
            activity.sign()
            time.sleep(0.02)
    assert caplog.messages == []


def test_after_the_first_line_a_longer_silence_is_allowed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "FIRST_SIGN_S", 0.1)
    monkeypatch.setattr(module, "_TICK_S", 0.02)
    with caplog.at_level(logging.INFO, logger="raypipe"), signs_of_life():
        activity.sign()  # such as the error that ends a command, on a slow machine
        time.sleep(0.3)
    assert caplog.messages == []


def test_the_step_before_is_named_again() -> None:
    with activity.doing("one"):
        with activity.doing("two"):
            assert activity.describe().startswith("two (")
        assert activity.describe().startswith("one (")
