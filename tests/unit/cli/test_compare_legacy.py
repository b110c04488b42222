"""Old results in odd folders: what cannot be read is reported, the rest is compared."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from raypipe.cli.compare_legacy import _open_results, _read_results
from raypipe.core.errors import SetupError
from raypipe.sources.local import LocalBookSource
from tests.unit.sources.broken_folders import failing


def test_results_that_cannot_be_read_are_reported(tmp_path: Path) -> None:
    books = LocalBookSource(str(tmp_path))
    old = tmp_path / "old"
    (old / "shelf").mkdir(parents=True)
    (old / "a.json").write_text(json.dumps({"key": "a.txt", "summary": "A tale."}))
    os.mkfifo(old / "pipe.json")
    (old / "loop.json").symlink_to("loop.json")
    with failing(old / "shelf", errno.EACCES):
        results, unreadable = _read_results(_open_results(str(old), books))
    assert [result.key for result in results] == ["a.txt"]
    assert [line.partition(":")[0] for line in unreadable] == [
        "shelf/",
        "loop.json is a broken link",
        "pipe.json is a pipe, not a regular file",
    ]


def test_a_link_that_is_named_is_followed(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text(json.dumps({"key": "a.txt", "summary": "A tale."}))
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "results.json"
    link.symlink_to(tmp_path / "results.json")
    results, unreadable = _read_results(_open_results(str(link), LocalBookSource(str(tmp_path))))
    assert ([result.key for result in results], unreadable) == (["a.txt"], [])


def test_a_place_that_cannot_exist_gets_one_line(tmp_path: Path) -> None:
    for name in ("nothing", "x" * 300, "loop"):
        (tmp_path / "loop").unlink(missing_ok=True)
        (tmp_path / "loop").symlink_to("loop")
        with pytest.raises(SetupError, match=r"against=.* does not exist"):
            _open_results(str(tmp_path / name), LocalBookSource(str(tmp_path)))
