"""The jars: the lock, the checks, the folder, the errors. No network."""

from __future__ import annotations

import hashlib
import json
import threading
import zipfile
from pathlib import Path

import pytest

from raypipe.embedded import EmbeddedError, download, jars
from raypipe.embedded.jars import Locked

DEAD = "http://127.0.0.1:9/maven"  # the discard port: nothing listens there


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, and a jgo that knows only a dead repository."""
    settings = tmp_path / "jgo.conf"
    settings.write_text(f"[repositories]\ncentral = {DEAD}\n")
    monkeypatch.setenv("JGO_CONFIG_FILE", str(settings))
    monkeypatch.setenv("M2_REPO", str(tmp_path / "m2"))
    monkeypatch.setenv("RAYPIPE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def locked(name: str, content: bytes, packaging: str = "jar") -> Locked:
    return Locked(
        "org.example", name, "1.0", packaging, hashlib.sha256(content).hexdigest(), len(content)
    )


def put_in_local_repository(root: Path, item: Locked, content: bytes) -> Path:
    path = root / "m2" / "org" / "example" / item.artifact / "1.0" / item.file_name
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def write_lock(root: Path, *items: Locked) -> Path:
    path = root / "test.lock"
    path.write_text("".join(f"{item.coordinate} {item.sha256} {item.size}\n" for item in items))
    return path


def test_the_shipped_lock_is_readable_and_names_the_server() -> None:
    items = jars.parse_lock(jars.LOCK_FILE.read_text())
    names = {item.file_name for item in items}
    assert len(names) == len(items) > 100
    assert {"opensearch-3.5.0.jar", "opensearch-knn-3.5.0.0.zip"} <= names


def test_a_lock_line_is_read_whole() -> None:
    text = f"# comment\n\norg.a:b:1.2:zip {'0' * 64} 17\norg.a:c:3 {'1' * 64} 5\n"
    first, second = jars.parse_lock(text)
    assert first == Locked("org.a", "b", "1.2", "zip", "0" * 64, 17)
    assert first.file_name == "b-1.2.zip"
    assert first.coordinate == "org.a:b:1.2:zip"
    assert (second.packaging, second.coordinate) == ("jar", "org.a:c:3")


@pytest.mark.parametrize("line", ["org.a:b:1 abc 5", f"org.a:b {'0' * 64} 5", f"a:b:1 {'0' * 64}"])
def test_a_wrong_lock_line_is_named(line: str) -> None:
    with pytest.raises(ValueError, match="line 2"):
        jars.parse_lock(f"# comment\n{line}\n")


def test_a_file_with_other_bytes_is_named_and_deleted(tmp_path: Path) -> None:
    path = tmp_path / "a-1.0.jar"
    path.write_bytes(b"cut")
    with pytest.raises(EmbeddedError, match=r"a-1\.0\.jar"):
        jars.check(path, locked("a", b"cut off"))
    assert not path.exists()


def test_cache_home_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYPIPE_CACHE", "/own")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert jars.cache_home() == Path("/own")
    monkeypatch.delenv("RAYPIPE_CACHE")
    assert jars.cache_home() == Path("/xdg/raypipe")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert jars.cache_home() == Path.home() / ".cache" / "raypipe"


def test_without_network_one_line_with_three_ways_out(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError) as raised:
        jars.ensure_jars(write_lock(tmp_path, locked("a", b"a"), locked("b", b"b")))
    text = str(raised.value)
    assert "\n" not in text
    assert "2 files" in text
    for way in ("network", "opensearch.endpoint=https://", "opensearch=none", str(cache)):
        assert way in text


def test_a_silent_network_is_given_up(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = threading.Event()
    monkeypatch.setattr(download, "FIRST_BYTE_S", 0.3)
    monkeypatch.setattr(download, "_resolve", lambda *_: never.wait(20))
    with pytest.raises(EmbeddedError, match="no data for"):
        jars.ensure_jars(write_lock(tmp_path, locked("a", b"a")))
    never.set()


def test_the_users_own_repository_is_used_and_left_alone(cache: Path, tmp_path: Path) -> None:
    item = locked("a", b"bytes")
    source = put_in_local_repository(tmp_path, item, b"bytes")
    folder = jars.ensure_jars(write_lock(tmp_path, item))
    assert (folder / "a-1.0.jar").read_bytes() == b"bytes"
    assert source.exists()
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


def test_a_damaged_file_in_the_users_repository_is_not_taken(cache: Path, tmp_path: Path) -> None:
    item = locked("a", b"bytes")
    source = put_in_local_repository(tmp_path, item, b"other")
    with pytest.raises(EmbeddedError, match="can't be downloaded"):
        jars.ensure_jars(write_lock(tmp_path, item))
    assert source.read_bytes() == b"other"


def test_wrong_bytes_from_the_repository_never_count(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(item: Locked, batch: download._Batch, count: object) -> Path:
        path = batch.scratch / item.group / item.artifact / item.file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
        return path

    monkeypatch.setattr(download, "_resolve", resolve)
    with pytest.raises(EmbeddedError, match=r"a-1\.0\.jar is not the file"):
        jars.ensure_jars(write_lock(tmp_path, locked("a", b"whole")))
    assert not list(cache.rglob("a-1.0.jar"))


def test_after_an_interruption_only_the_rest_is_fetched(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, damaged, missing = locked("a", b"a"), locked("b", b"bb"), locked("c", b"ccc")
    folder = cache / f"opensearch-{jars.OPENSEARCH_VERSION}"
    (folder / ".part-1").mkdir(parents=True)
    (folder / here.file_name).write_bytes(b"a")
    (folder / damaged.file_name).write_bytes(b"b")
    asked: list[str] = []

    def fetch(items: list[Locked], _folder: Path) -> None:
        asked.extend(item.artifact for item in items)
        (folder / "b-1.0.jar").write_bytes(b"bb")
        (folder / "c-1.0.jar").write_bytes(b"ccc")

    monkeypatch.setattr(download, "download", fetch)
    lock = write_lock(tmp_path, here, damaged, missing)
    jars.ensure_jars(lock)
    assert asked == ["b", "c"]
    jars.ensure_jars(lock)
    assert asked == ["b", "c"]
    (folder / "c-1.0.jar").unlink()
    jars.ensure_jars(lock)
    assert asked == ["b", "c", "c"]


def test_a_plugins_jars_are_unpacked_but_for_the_servers_own(cache: Path, tmp_path: Path) -> None:
    archive = tmp_path / "plugin.zip"
    with zipfile.ZipFile(archive, "w") as out:
        for name in ("knn.jar", "a-1.0.jar", "plugin.properties"):
            out.writestr(name, b"from the zip")
    plugin = locked("plugin", archive.read_bytes(), "zip")
    server = locked("a", b"the server's")
    put_in_local_repository(tmp_path, plugin, archive.read_bytes())
    put_in_local_repository(tmp_path, server, b"the server's")
    folder = jars.ensure_jars(write_lock(tmp_path, plugin, server))
    assert (folder / "knn.jar").read_bytes() == b"from the zip"
    assert (folder / "a-1.0.jar").read_bytes() == b"the server's"
    assert set(json.loads((folder / "complete.json").read_text())["files"]) == {
        "a-1.0.jar",
        "knn.jar",
    }


def test_a_new_lock_removes_the_old_ones_jars(cache: Path, tmp_path: Path) -> None:
    old, new = locked("old", b"old"), locked("new", b"new")
    put_in_local_repository(tmp_path, old, b"old")
    put_in_local_repository(tmp_path, new, b"new")
    jars.ensure_jars(write_lock(tmp_path, old))
    folder = jars.ensure_jars(write_lock(tmp_path, new))
    assert [path.name for path in folder.glob("*.jar")] == ["new-1.0.jar"]
