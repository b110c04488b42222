"""Every file of a state that is read back may be damaged; the error is one line that names it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from raypipe.core.errors import SetupError
from raypipe.ledger.lock_owner import LockOwner
from raypipe.ledger.recipes import Recipes
from raypipe.ledger.run_records import RunRecord, load
from raypipe.ledger.writer_lock import WriterLock
from raypipe.state.local import LocalState
from raypipe.state.store import state_id

CLAIM = asdict(LockOwner.current_process(1))
RECORD = asdict(RunRecord("a", 1))
DAMAGED = ["", "{", "[]", "null", "7", '"text"', b"\xff\xfe\x00", "[" * 10_000]

Read = Callable[[LocalState], object]
FILES: dict[str, tuple[Read, list[dict[str, object]]]] = {
    "claim.json": (
        WriterLock.acquire,
        [{**CLAIM, name: wrong} for name, wrong in (("run_seq", "7"), ("held", "no"), ("pid", []))],
    ),
    "state.json": (state_id, [{"id": ["x"], "version": 1}, {"id": "x", "version": []}, {"id": ""}]),
    "runs/a/run.json": (
        lambda state: load(state, "a"),
        [{**RECORD, "listed": "3"}, {**RECORD, "stage_seconds": [1]}, {**RECORD, "versions": 1}],
    ),
    "recipes/abc.json": (lambda state: Recipes(state).read(), [{"document": 7}, {}]),
}
CASES = [
    (name, read, content)
    for name, (read, wrong) in FILES.items()
    for content in (*DAMAGED, *map(json.dumps, wrong))
]


@pytest.mark.parametrize(("name", "read", "content"), CASES)
def test_the_error_names_the_file(
    tmp_path: Path, name: str, read: Read, content: str | bytes
) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SetupError, match=name) as caught:
        read(LocalState(str(tmp_path)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"\xff", b"../../secret", b"a/b"])
def test_a_damaged_pointer_to_the_latest_run(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "latest").write_bytes(content)
    with pytest.raises(SetupError, match=r"runs/latest in the state .* is damaged; delete it"):
        load(LocalState(str(tmp_path)))


def test_a_folder_in_the_place_of_the_lock(tmp_path: Path) -> None:
    (tmp_path / "claim.json").mkdir()
    with pytest.raises(SetupError, match=r"claim\.json: a folder has the name of this file"):
        WriterLock.acquire(LocalState(str(tmp_path)))
