"""Waits between attempts, and the attempts of a retry loop."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from raypipe.core.retry import attempts, full_jitter, retry_after_s


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        ("-5", 0.0),
        ("900.5", 900.0),
        ("1e9", 900.0),
        ("9" * 400, None),
        ("1e999", None),
        ("inf", None),
        ("-inf", None),
        ("nan", None),
        ("Fri, 01 Dec 2090 16:00:00 GMT", 900.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Mon, 01 Jan 0001 00:00:00 GMT", 0.0),
        ("Fri, 99 Dec 99999 99:00:00 GMT", None),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_in_seconds(header: str | None, seconds: float | None) -> None:
    headers = {} if header is None else {"retry-after": header}
    assert retry_after_s(headers) == seconds


def test_retry_after_as_a_date() -> None:
    assert retry_after_s(
        {"retry-after": formatdate(time.time() + 60, usegmt=True)}
    ) == pytest.approx(60, abs=2)
    assert retry_after_s({"retry-after": formatdate(time.time() - 60, usegmt=True)}) == 0.0


def test_waits_are_random_up_to_a_cap() -> None:
    waits = [full_jitter(30, cap=4.0) for _ in range(200)]
    assert max(waits) <= 4.0
    assert max(waits) - min(waits) > 2.0


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += max(seconds, 0.01)


def test_attempts_end_with_the_last_try() -> None:
    clock = Clock()
    yielded = list(attempts(tries=3, cap=1.0, sleep=clock.sleep, clock=lambda: clock.now))
    assert [(attempt.number, attempt.is_last) for attempt in yielded] == [
        (1, False),
        (2, False),
        (3, True),
    ]
    assert len(clock.waits) == 2
    assert all(0 <= wait <= 1 for wait in clock.waits)


def test_attempts_go_on_within_the_time_given() -> None:
    clock = Clock()
    times = [
        clock.now
        for _ in attempts(tries=1, within_s=30, cap=4.0, sleep=clock.sleep, clock=lambda: clock.now)
    ]
    assert times[-1] >= 30
    assert all(time < 30 for time in times[:-1])
