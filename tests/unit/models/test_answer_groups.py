from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from raypipe.ledger.answer_cache import AnswerCache
from raypipe.models.calling.answer_groups import AnswerGroups
from raypipe.state.local import LocalState


class SlowPop(dict[str, Any]):
    """Sleeps after an entry was removed, as a thread does that is interrupted there."""

    def __init__(self, removed: threading.Event) -> None:
        super().__init__()
        self.removed = removed

    def pop(self, *args: Any) -> Any:
        entry = super().pop(*args)
        self.removed.set()
        time.sleep(0.1)
        return entry


def test_a_group_is_found_while_another_of_its_calls_ends(tmp_path: Path) -> None:
    groups = AnswerGroups(AnswerCache(LocalState(str(tmp_path))))
    removed = threading.Event()
    groups._open = SlowPop(removed)
    groups.enter("g", direct=True)
    groups.enter("g", direct=True)
    thread = threading.Thread(target=groups.leave, args=("g",))
    thread.start()
    assert removed.wait(5)
    assert groups["g"]
    thread.join()
