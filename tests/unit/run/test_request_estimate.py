"""Groups of documents, and requests to S3 and their dollars."""

from __future__ import annotations

from pathlib import Path

import pytest

from raypipe.ledger.checkpoint import CheckpointSettings
from raypipe.ledger.facade import Ledger
from raypipe.quota.prices import Prices, S3Prices
from raypipe.run.request_estimate import RequestFactors, estimate_requests, expected_groups
from raypipe.state.local import LocalState

HOUR = 3600.0


@pytest.mark.parametrize(
    ("books", "size", "duration_s", "flush_s", "expected"),
    [
        (0, 0, 0, 3, 0),
        (1, 100, 0, 3, 1),
        (1000, 100, 0, 3, 1),
        (1001, 100, 0, 3, 2),
        (1000, 25 << 20, 0, 3, 4),
        (100_000, 100, 50 * HOUR, 3, 60_000),
        (100_000, 100, HOUR, 3, 1_200),
        (50, 100, HOUR, 3, 50),
        (50, 100, 0, 0, 50),
    ],
)
def test_a_group_ends_by_number_bytes_or_time(
    books: int, size: int, duration_s: float, flush_s: float, expected: int
) -> None:
    groups = expected_groups(books, 1000, flush_s, duration_s, size, 8 << 20)
    assert groups == expected


def test_without_s3_there_is_nothing_to_pay(tmp_path: Path) -> None:
    state = LocalState(str(tmp_path))
    ledger = Ledger(state, CheckpointSettings().open(state))
    factors = RequestFactors(listed=2_500, to_read=2_000, ready=0)
    prices = S3Prices(put=0.005, get=0.0004)
    assert estimate_requests(factors, ledger, prices, source_on_s3=False) is None
    requests = estimate_requests(factors, ledger, prices, source_on_s3=True)
    assert requests is not None
    assert (requests.source_lists, requests.source_gets, requests.state_puts) == (4, 2_000, 0)
    assert requests.usd == round(4 * 0.005 / 1000 + 2_000 * 0.0004 / 1000, 4)


@pytest.mark.parametrize("s3", [{"put": -1}, {"get": "x"}, {"list": 1}, {"put": True}])
def test_a_wrong_price_is_named(s3: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"^s3: "):
        Prices(s3=s3)
