from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import pytest

from raypipe.coordination.watchers import end_watchers


class FakeWatcher:
    """Records its end, or fails; waits as long as it may."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.ended: Mapping[str, Any] | None = None
        self.waited: float | None = None

    def follow(self, run_id: str) -> Any:
        raise NotImplementedError

    def end(self, record: Mapping[str, Any]) -> None:
        self.ended = record
        if self.error is not None:
            raise self.error

    def wait(self, seconds: float) -> None:
        self.waited = seconds
        time.sleep(seconds)


def test_all_watchers_share_the_time_and_an_error_ends_none_of_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watchers = [FakeWatcher(RuntimeError("https://hooks.example/secret")), FakeWatcher()]
    began = time.monotonic()
    end_watchers(watchers, {"status": "done"}, 0.2)
    assert time.monotonic() - began < 5
    assert [watcher.ended for watcher in watchers] == [{"status": "done"}] * 2
    assert watchers[0].waited == pytest.approx(0.2, abs=0.1)
    assert watchers[1].waited == pytest.approx(0.0, abs=0.1)
    assert caplog.messages == ["FakeWatcher failed: RuntimeError"]
