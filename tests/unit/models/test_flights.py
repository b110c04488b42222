"""What is under way in a caller, looked at from many threads."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from raypipe.cache import AnswerCache
from raypipe.models.flights import Groups
from raypipe.state.local import LocalState


@pytest.fixture
def _busy() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_busy")
def test_a_group_is_there_while_others_of_its_calls_end(tmp_path: Path) -> None:
    groups = Groups(AnswerCache(LocalState(str(tmp_path))))
    groups.enter("g", direct=True)
    over = threading.Event()

    def come_and_go() -> None:
        while not over.is_set():
            groups.enter("g", direct=True)
            groups.leave("g")

    thread = threading.Thread(target=come_and_go)
    thread.start()
    try:
        for _ in range(20_000):
            assert groups["g"]
    finally:
        over.set()
        thread.join()
    groups.leave("g")
    assert len(groups) == 0
