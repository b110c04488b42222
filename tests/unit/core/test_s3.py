from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from raypipe.core.s3 import parse_timestamp


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-07T08:05:11.000Z",  # the format of listings
        "2026-11-07T08:05:11Z",
        "2026-11-07T08:05:11.123456Z",
        "Sat, 07 Nov 2026 08:05:11 GMT",  # the format of headers
        "2026-11-07T10:05:11+02:00",
        "2026-11-07T08:05:11.1234567Z",  # more digits than Python supports
        "1794038711",
        1794038711,
    ],
)
def test_timestamps_are_parsed_as_by_botocore(text: str | int) -> None:
    from botocore import utils

    parse: Any = utils.parse_timestamp
    timestamp = parse_timestamp(text)
    assert timestamp == parse(text)
    assert timestamp.tzinfo is not None


def test_the_time_zone_is_kept() -> None:
    assert parse_timestamp("2026-11-07T08:05:11.000Z") == datetime(
        2026, 11, 7, 8, 5, 11, tzinfo=UTC
    )
    east = timezone(timedelta(hours=2))
    assert parse_timestamp("2026-11-07T10:05:11+02:00") == datetime(
        2026, 11, 7, 10, 5, 11, tzinfo=east
    )


def test_an_invalid_timestamp_is_an_error() -> None:
    for text in ("tomorrow", "2026-99-99T00:00:00Z"):
        with pytest.raises(ValueError, match="Invalid timestamp"):
            parse_timestamp(text)
