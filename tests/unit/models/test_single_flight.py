"""What is under way in a caller, looked at from several threads."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from raypipe.ledger.answer_cache import AnswerCache
from raypipe.models.calling.single_flight import AnswerGroups
from raypipe.state.local import LocalState


class Slow(dict[str, Any]):
    """Takes its time after an entry was taken out, as a thread does whose turn is over."""

    def __init__(self, taken: threading.Event) -> None:
        super().__init__()
        self.taken = taken

    def pop(self, *args: Any) -> Any:
        found = super().pop(*args)
        self.taken.set()
        time.sleep(0.1)
        return found


def test_a_group_is_there_while_another_of_its_calls_ends(tmp_path: Path) -> None:
    groups = AnswerGroups(AnswerCache(LocalState(str(tmp_path))))
    taken = threading.Event()
    groups._open = Slow(taken)
    groups.enter("g", direct=True)
    groups.enter("g", direct=True)
    thread = threading.Thread(target=groups.leave, args=("g",))
    thread.start()
    assert taken.wait(5)
    assert groups["g"]
    thread.join()
