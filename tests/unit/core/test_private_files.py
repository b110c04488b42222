"""The modes of new files and folders, whatever the umask of the process."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from raypipe.core.private_files import GroupAccess, open_private

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    previous = os.umask(request.param)
    yield request.param
    os.umask(previous)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def folder_with_mode(path: Path, mode: int) -> Path:
    path.mkdir()
    path.chmod(mode)
    return path


def test_a_new_file_is_private_and_an_existing_file_keeps_its_mode(
    tmp_path: Path, umask: int
) -> None:
    new, existing = tmp_path / "new", tmp_path / "existing"
    existing.touch()
    existing.chmod(0o664)
    for path in (new, existing):
        with open(path, "a", opener=open_private) as file:
            file.write("text")
    assert (mode(new), mode(existing)) == (0o600, 0o664)


@pytest.mark.parametrize(
    ("parent_mode", "folder_mode", "file_mode"),
    [
        (0o700, 0o700, 0o600),
        (0o755, 0o700, 0o600),  # what `mkdir` gives
        (0o777, 0o770, 0o660),
        (0o775, 0o770, 0o660),
        (0o770, 0o770, 0o660),
        (0o750, 0o750, 0o640),
        (0o2770, 0o2770, 0o660),
    ],
    ids=oct,
)
def test_a_folder_that_was_made_for_a_group_shares_new_files_with_it(
    tmp_path: Path, umask: int, parent_mode: int, folder_mode: int, file_mode: int
) -> None:
    parent = folder_with_mode(tmp_path / "parent", parent_mode)
    access = GroupAccess.in_folder(parent)
    access.create_folder(parent / "folder")
    access.write_new(parent / "file", b"line\n", durable=True)
    assert (parent / "file").read_bytes() == b"line\n"
    with pytest.raises(FileExistsError):
        access.write_new(parent / "file", b"", durable=False)
    if sys.platform == "darwin":  # new folders have their parent's group without the bit
        folder_mode &= 0o777
    assert mode(parent / "folder") == folder_mode
    assert mode(parent / "file") == file_mode == access.file_mode
    assert mode(parent) == parent_mode


def test_new_files_belong_to_the_group_of_the_folder(tmp_path: Path) -> None:
    parent = folder_with_mode(tmp_path / "parent", 0o770)
    others = [gid for gid in os.getgroups() if gid != os.getgid()] or (
        [12_345] if os.getuid() == 0 else []
    )
    if not others:
        pytest.skip("this user has a single group")
    os.chown(parent, -1, others[0])
    access = GroupAccess.in_folder(parent)
    access.create_folder(parent / "folder")
    access.write_new(parent / "file", b"line\n", durable=True)
    assert (parent / "file").read_bytes() == b"line\n"
    with pytest.raises(FileExistsError):
        access.write_new(parent / "file", b"", durable=False)
    (parent / "lock").touch()
    access.set_group(parent / "lock")
    assert {(parent / name).stat().st_gid for name in ("folder", "file", "lock")} == {others[0]}


def test_a_missing_folder_gives_no_access_to_a_group(tmp_path: Path) -> None:
    assert GroupAccess.in_folder(tmp_path / "missing") == GroupAccess()
    (tmp_path / "file").touch()
    assert GroupAccess.in_folder(tmp_path / "file" / "below") == GroupAccess()


def test_a_file_in_place_of_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        GroupAccess().create_folder(tmp_path / "file")
