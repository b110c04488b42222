"""The state in a folder: the contract, crashes, races, and messages."""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from pathlib import Path

import pytest

from raypipe.core.errors import SetupError
from raypipe.state.factory import open_state
from raypipe.state.local import LocalState
from raypipe.state.store import State
from tests.unit.sources.broken_folders import failing
from tests.unit.state.contract import StateContract, assert_ignored_conditions_are_detected


@pytest.fixture
def state(tmp_path: Path) -> LocalState:
    return LocalState(str(tmp_path / "state"))


class TestLocalState(StateContract):
    pass


class TestWithoutLinks(StateContract):
    @pytest.fixture(autouse=True)
    def refuse_links(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(*_: object) -> None:
            raise PermissionError(errno.EPERM, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)


def test_ignored_conditions_are_detected(state: LocalState) -> None:
    assert_ignored_conditions_are_detected(state)


def test_a_relative_folder_becomes_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    state = open_state("data/state")
    monkeypatch.chdir("/")
    state.put("a", b"1")
    assert (tmp_path / "data/state/a").read_bytes() == b"1"
    assert state.uri == str(tmp_path / "data/state")


@pytest.mark.parametrize("uri", ["s3://", "gs://bucket/x", "s3:///prefix"])
def test_unknown_uris_are_refused(uri: str) -> None:
    with pytest.raises(ValueError, match=r"state\.uri=.*s3://bucket/prefix"):
        open_state(uri)


def test_reading_creates_no_folder(state: LocalState) -> None:
    assert state.get("a") is None
    assert state.list("a/") == []
    assert not Path(state.root).exists()


def modes(folder: Path) -> dict[bool, set[int]]:
    """Return the modes of all folders (True) and files (False) below a folder, and its own."""
    found: dict[bool, set[int]] = {True: set(), False: set()}
    for path in (folder, *folder.rglob("*")):
        found[path.is_dir()].add(stat.S_IMODE(path.stat().st_mode))
    return found


def fill(state: LocalState) -> None:
    """Create a name, replace it, delete it, and leave another."""
    state.check()
    for name in ("cache/group/answer.json", "processed/part.parquet"):
        state.put(name, b"1")
    found = state.get_tagged("cache/group/answer.json")
    assert found
    assert state.put_if_match("cache/group/answer.json", b"2", found[1])
    state.delete(["processed/part.parquet"])


def test_other_users_cannot_read_a_state(tmp_path: Path) -> None:
    fill(LocalState(str(tmp_path / "data" / "state")))
    assert modes(tmp_path / "data") == {True: {0o700}, False: {0o600}}


@pytest.mark.parametrize(("root_mode", "file_mode"), [(0o770, 0o660), (0o750, 0o640)], ids=oct)
def test_a_folder_of_a_team_stays_one(tmp_path: Path, root_mode: int, file_mode: int) -> None:
    root = tmp_path / "state"
    root.mkdir()
    root.chmod(root_mode)
    fill(LocalState(str(root)))
    assert modes(root) == {True: {root_mode}, False: {file_mode}}


def test_leftovers_of_a_crash_are_ignored_and_deleted(state: LocalState) -> None:
    state.put("a", b"1")
    old, young = (Path(state.root) / ".tmp" / name for name in ("old", "young"))
    old.write_bytes(b"torn")
    young.write_bytes(b"torn")
    os.utime(old, (time.time() - 90_000,) * 2)
    assert state.list() == ["a"]
    state.check()
    assert not old.exists()
    assert young.exists()  # its writer may be running


def test_a_failed_write_keeps_the_old_content(
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


def test_a_file_in_place_of_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(SetupError, match="a file has the name of a folder"):
        LocalState(str(tmp_path / "file")).check()
    with pytest.raises(SetupError, match="a file has the name of a folder"):
        LocalState(str(tmp_path / "file" / "state")).check()


def test_a_missing_permission_is_an_error(
    state: LocalState, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, *args: object, **kwargs: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")  # tests may run as root

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(SetupError, match="permission denied; grant it"):
        state.check()


def test_a_name_is_created_by_a_single_thread(state: LocalState) -> None:
    created: list[str] = []
    start = threading.Barrier(8)

    def race(number: int) -> None:
        start.wait()
        for turn in range(20):
            if state.put_if_absent(f"race/{turn}", str(number).encode()):
                created.append(f"{turn}:{number}")

    _run_in_threads(race)
    assert len(created) == 20
    for entry in created:
        turn, _, number = entry.partition(":")
        assert state.get(f"race/{turn}") == number.encode()


def test_no_replacement_is_lost(state: LocalState) -> None:
    state.put("counter", b"0")

    def race(_: int) -> None:
        for _turn in range(10):
            while True:
                found = state.get_tagged("counter")
                assert found
                if state.put_if_match("counter", str(int(found[0]) + 1).encode(), found[1]):
                    break

    _run_in_threads(race)
    assert state.get("counter") == b"80"


@pytest.mark.parametrize("faulty_scan", [1, 2])
def test_list_finds_a_name_that_is_created_during_the_scan(
    state: LocalState, monkeypatch: pytest.MonkeyPatch, faulty_scan: int
) -> None:
    """A scan may miss a deleted file and the file created in its place: readdir(3)."""
    state.put("m/1", b"")
    scans = 0
    real = os.scandir

    def scandir(folder: str) -> object:
        nonlocal scans
        scans += 1
        if scans != faulty_scan:
            return real(folder)
        state.put("m/2", b"")
        state.delete(["m/1"])
        return []

    monkeypatch.setattr(os, "scandir", scandir)
    assert state.list("m/") == ["m/2"]


def _run_in_threads(race: object) -> None:
    threads = [threading.Thread(target=race, args=(number,)) for number in range(8)]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_it_implements_the_protocol(state: LocalState) -> None:
    protocol: State = state
    assert protocol.uri


def test_what_is_no_file_has_no_name(state: LocalState) -> None:
    state.put("runs/a", b"1")
    folder = Path(state.root) / "runs"
    os.mkfifo(folder / "pipe")
    (folder / "loop").symlink_to("loop")
    (folder / "broken").symlink_to("nothing")
    (folder / "up").symlink_to("..")
    (folder / "here").symlink_to(".")
    assert state.list() == ["runs/a"]
    assert state.list_sizes("runs/") == {"runs/a": 1}


def test_links_to_other_disks_are_followed(state: LocalState, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    Path(state.root).mkdir()
    (Path(state.root) / "cache").symlink_to(tmp_path / "disk")
    state.put("cache/a", b"1")
    assert state.list("cache/") == ["cache/a"]


def test_a_folder_that_cannot_be_listed_is_not_empty(state: LocalState) -> None:
    state.put("runs/a", b"1")
    for after in (None, 0, 1):
        with (
            failing(Path(state.root) / "runs", errno.EIO, after),
            pytest.raises(SetupError, match="Input/output error"),
        ):
            state.list("runs/")
