"""The state in a folder: the contract, crashes, races, and what a person is told."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path

import pytest

from raypipe.core.errors import SetupError
from raypipe.state.local import LocalState
from raypipe.state.store import State, open_state
from tests.unit.state.contract import StateContract, check_refuses_a_deaf_server


@pytest.fixture
def state(tmp_path: Path) -> LocalState:
    return LocalState(str(tmp_path / "state"))


class TestLocalState(StateContract):
    pass


def test_check_refuses_a_server_that_ignores_conditions(state: LocalState) -> None:
    check_refuses_a_deaf_server(state)


def test_relative_folder_means_the_drivers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    state = open_state("data/state")
    monkeypatch.chdir("/")
    state.put("a", b"1")
    assert (tmp_path / "data/state/a").read_bytes() == b"1"
    assert state.uri == str(tmp_path / "data/state")


@pytest.mark.parametrize("uri", ["s3://", "gs://bucket/x", "s3:///prefix"])
def test_other_uris_are_refused(uri: str) -> None:
    with pytest.raises(ValueError, match=r"state\.uri=.*s3://bucket/prefix"):
        open_state(uri)


def test_reading_makes_nothing(state: LocalState) -> None:
    assert state.get("a") is None
    assert state.list("a/") == []
    assert not Path(state.root).exists()


def test_leftovers_of_a_crash_are_ignored_and_swept(state: LocalState) -> None:
    state.put("a", b"1")
    old, young = (Path(state.root) / ".tmp" / name for name in ("old", "young"))
    old.write_bytes(b"torn")
    young.write_bytes(b"torn")
    os.utime(old, (time.time() - 90_000,) * 2)
    assert state.list() == ["a"]
    state.check()
    assert not old.exists()
    assert young.exists()  # its writer may be at work


def test_a_failed_write_leaves_the_old_bytes(
    state: LocalState, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.put("a", b"old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SetupError, match="disk is full; free some space"):
        state.put("a", b"new")
    assert state.get("a") == b"old"
    assert list((Path(state.root) / ".tmp").iterdir()) == []


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(SetupError, match="file is in the way"):
        LocalState(str(tmp_path / "file")).check()
    with pytest.raises(SetupError, match="file is in the way"):
        LocalState(str(tmp_path / "file" / "state")).check()


def test_no_permission_is_named(state: LocalState, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *args: object, **kwargs: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")  # tests may run as root

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(SetupError, match="no permission; make the folder yours"):
        state.check()


def test_one_of_many_threads_gets_the_name(state: LocalState) -> None:
    won: list[str] = []
    start = threading.Barrier(8)

    def race(number: int) -> None:
        start.wait()
        for turn in range(20):
            if state.put_if_absent(f"race/{turn}", str(number).encode()):
                won.append(f"{turn}:{number}")

    _run(race)
    assert len(won) == 20
    for one in won:
        turn, _, number = one.partition(":")
        assert state.get(f"race/{turn}") == number.encode()


def test_no_swap_is_lost(state: LocalState) -> None:
    state.put("counter", b"0")

    def race(_: int) -> None:
        for _turn in range(10):
            while True:
                found = state.get_tagged("counter")
                assert found
                if state.put_if_match("counter", str(int(found[0]) + 1).encode(), found[1]):
                    break

    _run(race)
    assert state.get("counter") == b"80"


@pytest.mark.parametrize("blind", [1, 2])
def test_list_never_loses_what_is_replaced_meanwhile(
    state: LocalState, monkeypatch: pytest.MonkeyPatch, blind: int
) -> None:
    """A scan may miss a file that goes and also the one that came for it: readdir(3)."""
    state.put("m/1", b"")
    scans = 0
    real = os.scandir

    def scandir(folder: str) -> object:
        nonlocal scans
        scans += 1
        if scans != blind:
            return real(folder)
        state.put("m/2", b"")
        state.delete(["m/1"])
        return []

    monkeypatch.setattr(os, "scandir", scandir)
    assert state.list("m/") == ["m/2"]


def _run(race: object) -> None:
    threads = [threading.Thread(target=race, args=(number,)) for number in range(8)]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_it_is_a_state(state: LocalState) -> None:
    protocol: State = state
    assert protocol.uri
