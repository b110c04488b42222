"""How long to wait before the next try."""

from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from raypipe.core.retry import full_jitter, retry_after_s


@pytest.mark.parametrize(
    ("said", "seconds"), [("7", 7.0), (" 0 ", 0.0), ("soon", None), ("", None), (None, None)]
)
def test_what_a_server_asks_for_is_read(said: str | None, seconds: float | None) -> None:
    headers = {} if said is None else {"retry-after": said}
    assert retry_after_s(headers) == seconds


def test_a_date_is_read_as_the_seconds_until_then() -> None:
    assert retry_after_s(
        {"retry-after": formatdate(time.time() + 60, usegmt=True)}
    ) == pytest.approx(60, abs=2)
    assert retry_after_s({"retry-after": formatdate(time.time() - 60, usegmt=True)}) == 0.0


def test_waits_are_spread_under_a_cap() -> None:
    waits = [full_jitter(30, cap=4.0) for _ in range(200)]
    assert max(waits) <= 4.0
    assert max(waits) - min(waits) > 2.0
