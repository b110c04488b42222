"""Copy a state between folders, while it changes, after a kill, and onto wrong places."""

from __future__ import annotations

import ast
import dataclasses
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raypipe import ledger
from raypipe.core.errors import SetupError
from raypipe.ledger import object_copier, state_copy
from raypipe.ledger.answer_cache import AnswerCache, cache_key
from raypipe.ledger.call_usage import CallUsage
from raypipe.ledger.checkpoint import Checkpoint, Processed
from raypipe.ledger.document_store import DocumentStore
from raypipe.ledger.lock_owner import LOCK_NAME, LockOwner, decode_owner, encode_owner
from raypipe.ledger.run_records import RunRecord
from raypipe.ledger.state_copy import CopyResult, StateCopy
from raypipe.ledger.writer_lock import WriterLock
from raypipe.state.local import LocalState
from raypipe.state.parquet_table import find_replaced
from raypipe.state.store import IDENTITY, state_id
from tests.unit.ledger.documents import make_document as document

RECIPE = "d1"


def write_book(state: LocalState, number: int, run_seq: int = 1) -> None:
    """Write a document and then the ledger's row that refers to it, as a run does."""
    name = f"book-{number:05d}"
    DocumentStore(state).append([document(name)], run_seq, number, 0)
    row = Processed(name, "e1", RECIPE, "index-1", "generation", run_seq, 1.0 * number)
    Checkpoint(state).append([row], run_seq, number, 0)


@pytest.fixture
def source(tmp_path: Path) -> LocalState:
    state = LocalState(str(tmp_path / "source"))
    state_id(state)
    with WriterLock.acquire(state) as lock:
        for number in range(6):
            write_book(state, number, lock.run_seq)
        answers = AnswerCache(state).group("ab" * 32)
        for number in range(5):
            key = cache_key({"number": number})
            answers.put(key, {"text": "x"}, CallUsage("chat", "m", 1, 1), dict)
        RunRecord("20261127T000000Z-0001", 1).save(state)
    return state


@pytest.fixture
def target(tmp_path: Path) -> LocalState:
    return LocalState(str(tmp_path / "target"))


def copy(source: Any, target: Any) -> CopyResult:
    return StateCopy(source, target, sleep=lambda _: None).run()


def contents(state: LocalState) -> dict[str, bytes]:
    special = (LOCK_NAME, "copy.json")
    return {name: state.get(name) or b"" for name in state.list() if name not in special}


def claim_of(state: LocalState) -> LockOwner:
    return decode_owner(state.get(LOCK_NAME) or b"", state)


def lacking_documents(state: LocalState) -> set[str]:
    """Return the books that the ledger claims and the documents lack."""
    claimed = Checkpoint(state).read_latest()["book_id"].to_pylist()
    return set(claimed) - set(DocumentStore(state).all_versions()["book_id"].to_pylist())


def test_a_copy_is_the_same_state_with_a_released_lock(
    source: LocalState, target: LocalState
) -> None:
    result = copy(source, target)
    assert contents(target) == contents(source)
    assert state_id(target) == state_id(source)
    assert claim_of(target) == LockOwner(run_seq=1)
    assert (result.copied, result.present, result.removed, result.run_seq) == (19, 0, 0, 1)
    with WriterLock.acquire(target) as lock:
        assert lock.run_seq == 2


def test_a_second_copy_copies_what_is_new(source: LocalState, target: LocalState) -> None:
    copy(source, target)
    with WriterLock.acquire(source) as lock:
        write_book(source, 6, lock.run_seq)
        RunRecord("20261127T000000Z-0002", 2, status="done").save(source)
    result = copy(source, target)
    assert contents(target) == contents(source)
    # Two parts, the records of two runs, and the log of calls, which is always copied.
    assert (result.copied, result.present) == (5, 17)
    assert claim_of(target) == LockOwner(run_seq=2)


def test_compacted_parts_replace_their_parts_in_the_copy(
    source: LocalState, target: LocalState
) -> None:
    copy(source, target)
    assert Checkpoint(source).compact(threshold=2) == 6
    assert DocumentStore(source).compact(RECIPE, threshold=2) == 6
    result = copy(source, target)
    assert result.removed == 12
    assert contents(target) == contents(source)
    assert lacking_documents(target) == set()


def test_parts_that_were_deleted_by_accident_stay_in_the_copy(
    source: LocalState, target: LocalState
) -> None:
    copy(source, target)
    before = contents(target)
    source.delete(source.list("documents/") + source.list("processed/")[:2])
    assert copy(source, target).removed == 0
    assert contents(target) == before


class ChangingState(LocalState):
    """Calls a function before each read of an object below a prefix."""

    def __init__(self, root: str, prefix: str, before: Callable[[str], None]) -> None:
        super().__init__(root)
        object.__setattr__(self, "prefix", prefix)
        object.__setattr__(self, "before", before)

    def get(self, name: str) -> bytes | None:
        if name.startswith(self.prefix):  # type: ignore[attr-defined]
            self.before(name)  # type: ignore[attr-defined]
        return super().get(name)


@pytest.mark.parametrize("folder", ["documents", "processed"])
def test_parts_that_vanish_are_copied_as_compacted(
    folder: str, source: LocalState, target: LocalState
) -> None:
    """Each first read of a folder finds its parts compacted, and a new book beside them."""
    plain = LocalState(source.root)
    once = threading.Lock()

    def compact(_: str) -> None:
        if once.acquire(blocking=False):
            write_book(plain, 7)
            Checkpoint(plain).compact(threshold=2)
            DocumentStore(plain).compact(RECIPE, threshold=2)

    copy(ChangingState(source.root, f"{folder}/", compact), target)
    copied, expected = (Checkpoint(state).read_latest() for state in (target, plain))
    assert set(copied["book_id"].to_pylist()) == set(expected["book_id"].to_pylist())
    assert lacking_documents(target) == set()


def test_the_copy_of_a_state_under_write_claims_only_documents_it_has(
    source: LocalState, target: LocalState
) -> None:
    ended = threading.Event()

    def write() -> None:
        number = 100
        while not ended.is_set():
            write_book(source, number)
            number += 1
            if number % 25 == 0:
                Checkpoint(source).compact(threshold=10)
                DocumentStore(source).compact(RECIPE, threshold=10)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(3):
            copy(source, target)
            assert lacking_documents(target) == set()
    finally:
        ended.set()
        writer.join()
    copy(source, target)
    copied, expected = (Checkpoint(state).read_latest() for state in (target, source))
    assert copied["book_id"].to_pylist() == expected["book_id"].to_pylist()


def test_after_a_kill_at_any_object_the_copy_is_consistent_and_completed(
    source: LocalState, target: LocalState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_copier, "_THREADS", 1)
    for last in (0, 3, 6, 9, 14, 18):
        reads = [0]

        def stop(_: str, reads: list[int] = reads, last: int = last) -> None:
            reads[0] += 1
            if reads[0] > last:
                raise KeyboardInterrupt

        killed = LocalState(f"{target.root}-{last}")
        with pytest.raises(KeyboardInterrupt):
            copy(ChangingState(source.root, "", stop) if last else Unreadable(source.root), killed)
        assert lacking_documents(killed) == set()
        if killed.get(IDENTITY) is None and killed.get("copy.json"):
            with pytest.raises(
                SetupError, match=r"not complete; run the same `raypipe state copy`"
            ):
                state_id(killed)
        copy(source, killed)
        assert contents(killed) == contents(source)


class Unreadable(LocalState):
    """Ends the copying at its first listing of the cache."""

    def list_sizes(self, prefix: str = "") -> dict[str, int]:
        raise KeyboardInterrupt


def test_a_restored_copy_is_usable_and_copied_again(
    source: LocalState, target: LocalState, tmp_path: Path
) -> None:
    restored = LocalState(str(tmp_path / "restored"))
    copy(source, target)
    copy(target, restored)
    assert contents(restored) == contents(source)
    with WriterLock.acquire(restored) as lock:
        write_book(restored, 20, lock.run_seq)
        RunRecord("20261127T000000Z-0002", 2).save(restored)
    copy(restored, target)
    assert contents(target) == contents(restored)
    with pytest.raises(SetupError, match=r"has a run that .* lacks"):
        copy(source, target)  # would mix two histories


def test_a_copy_that_a_run_used_is_not_overwritten(source: LocalState, target: LocalState) -> None:
    copy(source, target)
    with WriterLock.acquire(target) as lock:
        write_book(target, 30, lock.run_seq)
    before = contents(target)
    with pytest.raises(SetupError, match=r"a run has written to .* since it was copied"):
        copy(source, target)
    assert contents(target) == before


def test_other_places_are_refused(source: LocalState, target: LocalState, tmp_path: Path) -> None:
    target.put("notes.txt", b"mine")
    with pytest.raises(SetupError, match="is not empty, and not a copy of"):
        copy(source, target)
    other = LocalState(str(tmp_path / "other"))
    state_id(other)
    with pytest.raises(SetupError, match="is not empty, and not a copy of"):
        copy(source, other)
    copy_of_other = LocalState(str(tmp_path / "copy-of-other"))
    copy(other, copy_of_other)
    with pytest.raises(SetupError, match="is a copy of another state"):
        copy(source, copy_of_other)
    for place in (source.root, f"{source.root}/inside", str(tmp_path)):
        with pytest.raises(SetupError, match="one is inside the other"):
            copy(source, LocalState(place))
    with pytest.raises(SetupError, match="there is no state at"):
        copy(LocalState(str(tmp_path / "nowhere")), LocalState(str(tmp_path / "new")))
    assert not (tmp_path / "nowhere").exists()
    assert not (tmp_path / "new").exists()


def test_a_target_that_is_in_use_is_refused(source: LocalState, target: LocalState) -> None:
    with WriterLock.acquire(target), pytest.raises(SetupError, match="another raypipe writes"):
        copy(source, target)
    copy(source, target)
    with WriterLock.acquire(target), pytest.raises(SetupError, match="a run has written to"):
        copy(source, target)


def test_a_target_in_use_on_another_host_is_refused(source: LocalState, target: LocalState) -> None:
    owner = LockOwner(5, held=True, owner="x", host="elsewhere", boot_id="b", pid=1)
    target.put(LOCK_NAME, encode_owner(owner))

    def beat(_: float) -> None:
        target.put(LOCK_NAME, encode_owner(dataclasses.replace(owner, beat=1)))

    with pytest.raises(SetupError, match="is in use: run 5"):
        StateCopy(source, target, sleep=beat).run()


def test_a_torn_object_in_the_copy_is_copied_again(source: LocalState, target: LocalState) -> None:
    copy(source, target)
    name = target.list("documents/")[0]
    target.put(name, b"torn")
    assert copy(source, target).copied > 0
    assert contents(target) == contents(source)


def test_a_target_that_loses_objects_is_noticed(
    source: LocalState, target: LocalState, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = LocalState.put

    def forget(state: LocalState, name: str, data: bytes) -> None:
        put(state, name, data[:-1] if name.startswith("processed/") else data)

    monkeypatch.setattr(LocalState, "put", forget)
    with pytest.raises(SetupError, match=r"6 objects in .* differ from .*; copy again"):
        copy(source, target)


def test_memory_is_bounded(
    source: LocalState, target: LocalState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_copier, "_MAX_BYTES", 10)  # less than any object: one at a time
    in_memory, most, lock = [0], [0], threading.Lock()

    def enter(_: str) -> None:
        with lock:
            in_memory[0] += 1
            most[0] = max(most[0], in_memory[0])

    put = LocalState.put

    def leave(state: LocalState, name: str, data: bytes) -> None:
        put(state, name, data)
        with lock:
            in_memory[0] -= name.startswith("documents/")

    monkeypatch.setattr(LocalState, "put", leave)
    copy(ChangingState(source.root, "documents/", enter), target)
    assert most[0] == 1


def test_every_folder_of_the_ledger_is_copied() -> None:
    copied = {
        folder.rstrip("/")
        for folder in (*state_copy._LEDGER, *state_copy._DOCUMENTS, "cache/", "runs/")
    }
    folders = set()
    for path in Path(ledger.__file__).parent.glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FOLDER":
                folders.add(ast.literal_eval(node.value))
    assert folders == copied


def test_a_damaged_marker_is_no_copy(source: LocalState, target: LocalState) -> None:
    for data in (b"", b"{", b"[]", json.dumps({"state": 7}).encode()):
        target.put("copy.json", data)
        with pytest.raises(SetupError, match="is a copy of another state"):
            copy(source, target)


def test_only_parts_of_the_same_folder_are_replaced() -> None:
    current = ["a/part-00000005-~-000001.parquet", "b/part-00000002-000001-000000.parquet"]
    names = [
        "a/part-00000004-000001-000000.parquet",
        "a/part-00000005-000001-000000.parquet",
        "a/part-00000005-~-000000.parquet",
        "a/part-00000006-000001-000000.parquet",
        "a/notes.txt",
        "b/part-00000001-000001-000000.parquet",
        "c/part-00000001-000001-000000.parquet",
    ]
    assert find_replaced(names, current) == names[:3]
