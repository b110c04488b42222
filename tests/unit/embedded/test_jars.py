"""Lock file, checksums, cache folder and errors of the jars. No network."""

from __future__ import annotations

import hashlib
import json
import threading
import zipfile
from pathlib import Path

import pytest

from raypipe.embedded import EmbeddedError, download, jars
from raypipe.embedded.lock_file import (
    LOCK_FILE,
    OPENSEARCH_VERSION,
    LockedArtifact,
    parse_lock_file,
    verify_sha256,
)

DEAD_REPOSITORY = "http://127.0.0.1:9/maven"  # the discard port: nothing listens there


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache folder; jgo knows only a repository that does not answer."""
    settings = tmp_path / "jgo.conf"
    settings.write_text(f"[repositories]\ncentral = {DEAD_REPOSITORY}\n")
    monkeypatch.setenv("JGO_CONFIG_FILE", str(settings))
    monkeypatch.setenv("M2_REPO", str(tmp_path / "m2"))
    monkeypatch.setenv("RAYPIPE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def locked_artifact(name: str, content: bytes, packaging: str = "jar") -> LockedArtifact:
    return LockedArtifact(
        "org.example", name, "1.0", packaging, hashlib.sha256(content).hexdigest(), len(content)
    )


def put_in_local_repository(root: Path, artifact: LockedArtifact, content: bytes) -> Path:
    path = root / "m2" / "org" / "example" / artifact.artifact / "1.0" / artifact.file_name
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def write_lock(root: Path, *artifacts: LockedArtifact) -> Path:
    path = root / "test.lock"
    path.write_text(
        "".join(
            f"{artifact.coordinate} {artifact.sha256} {artifact.size}\n" for artifact in artifacts
        )
    )
    return path


def test_shipped_lock_file_contains_the_server_and_knn() -> None:
    artifacts = parse_lock_file(LOCK_FILE.read_text())
    names = {artifact.file_name for artifact in artifacts}
    assert len(names) == len(artifacts) > 100
    assert {"opensearch-3.5.0.jar", "opensearch-knn-3.5.0.0.zip"} <= names


def test_lock_file_lines_are_parsed() -> None:
    text = f"# comment\n\norg.a:b:1.2:zip {'0' * 64} 17\norg.a:c:3 {'1' * 64} 5\n"
    first, second = parse_lock_file(text)
    assert first == LockedArtifact("org.a", "b", "1.2", "zip", "0" * 64, 17)
    assert first.file_name == "b-1.2.zip"
    assert first.coordinate == "org.a:b:1.2:zip"
    assert (second.packaging, second.coordinate) == ("jar", "org.a:c:3")


@pytest.mark.parametrize("line", ["org.a:b:1 abc 5", f"org.a:b {'0' * 64} 5", f"a:b:1 {'0' * 64}"])
def test_error_names_the_invalid_lock_file_line(line: str) -> None:
    with pytest.raises(ValueError, match="line 2"):
        parse_lock_file(f"# comment\n{line}\n")


def test_a_file_with_a_wrong_checksum_is_named_and_deleted(tmp_path: Path) -> None:
    path = tmp_path / "a-1.0.jar"
    path.write_bytes(b"cut")
    with pytest.raises(EmbeddedError, match=r"a-1\.0\.jar"):
        verify_sha256(path, locked_artifact("a", b"cut off"))
    assert not path.exists()


def test_cache_home_prefers_raypipe_cache_to_xdg_to_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYPIPE_CACHE", "/own")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert jars.cache_home() == Path("/own")
    monkeypatch.delenv("RAYPIPE_CACHE")
    assert jars.cache_home() == Path("/xdg/raypipe")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert jars.cache_home() == Path.home() / ".cache" / "raypipe"


def test_error_without_network_names_three_fixes_in_one_line(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError) as raised:
        jars.ensure_jars(
            write_lock(tmp_path, locked_artifact("a", b"a"), locked_artifact("b", b"b"))
        )
    text = str(raised.value)
    assert "\n" not in text
    assert "2 files" in text
    for fix in ("network", "opensearch.endpoint=https://", "opensearch=none", str(cache)):
        assert fix in text


def test_download_ends_when_no_data_arrives(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = threading.Event()
    monkeypatch.setattr(download, "FIRST_BYTE_TIMEOUT_S", 0.3)
    monkeypatch.setattr(download, "_resolve", lambda *_: never.wait(20))
    with pytest.raises(EmbeddedError, match="no data for"):
        jars.ensure_jars(write_lock(tmp_path, locked_artifact("a", b"a")))
    never.set()


def test_files_of_the_local_repository_are_copied(cache: Path, tmp_path: Path) -> None:
    artifact = locked_artifact("a", b"bytes")
    source = put_in_local_repository(tmp_path, artifact, b"bytes")
    folder = jars.ensure_jars(write_lock(tmp_path, artifact))
    assert (folder / "a-1.0.jar").read_bytes() == b"bytes"
    assert source.exists()
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


def test_damaged_files_of_the_local_repository_are_ignored(cache: Path, tmp_path: Path) -> None:
    artifact = locked_artifact("a", b"bytes")
    source = put_in_local_repository(tmp_path, artifact, b"other")
    with pytest.raises(EmbeddedError, match="cannot be downloaded"):
        jars.ensure_jars(write_lock(tmp_path, artifact))
    assert source.read_bytes() == b"other"


def test_downloads_with_a_wrong_checksum_are_rejected(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(
        artifact: LockedArtifact, repository: Path, settings: object, on_progress: object
    ) -> Path:
        path = repository / artifact.file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
        return path

    monkeypatch.setattr(download, "_resolve", resolve)
    with pytest.raises(EmbeddedError, match=r"a-1\.0\.jar has a wrong checksum"):
        jars.ensure_jars(write_lock(tmp_path, locked_artifact("a", b"whole")))
    assert not list(cache.rglob("a-1.0.jar"))


def test_only_missing_and_damaged_files_are_downloaded(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, damaged, missing = (
        locked_artifact("a", b"a"),
        locked_artifact("b", b"bb"),
        locked_artifact("c", b"ccc"),
    )
    folder = cache / f"opensearch-{OPENSEARCH_VERSION}"
    (folder / ".part-1").mkdir(parents=True)
    (folder / here.file_name).write_bytes(b"a")
    (folder / damaged.file_name).write_bytes(b"b")
    requested: list[str] = []

    def fetch(artifacts: list[LockedArtifact], _folder: Path) -> None:
        requested.extend(artifact.artifact for artifact in artifacts)
        (folder / "b-1.0.jar").write_bytes(b"bb")
        (folder / "c-1.0.jar").write_bytes(b"ccc")

    monkeypatch.setattr(jars, "download_artifacts", fetch)
    lock = write_lock(tmp_path, here, damaged, missing)
    jars.ensure_jars(lock)
    assert requested == ["b", "c"]
    jars.ensure_jars(lock)
    assert requested == ["b", "c"]
    (folder / "c-1.0.jar").unlink()
    jars.ensure_jars(lock)
    assert requested == ["b", "c", "c"]


def test_plugin_jars_are_unpacked_except_jars_of_the_server(cache: Path, tmp_path: Path) -> None:
    archive = tmp_path / "plugin.zip"
    with zipfile.ZipFile(archive, "w") as out:
        for name in ("knn.jar", "a-1.0.jar", "plugin.properties"):
            out.writestr(name, b"from the zip")
    plugin = locked_artifact("plugin", archive.read_bytes(), "zip")
    server = locked_artifact("a", b"the server's")
    put_in_local_repository(tmp_path, plugin, archive.read_bytes())
    put_in_local_repository(tmp_path, server, b"the server's")
    folder = jars.ensure_jars(write_lock(tmp_path, plugin, server))
    assert (folder / "knn.jar").read_bytes() == b"from the zip"
    assert (folder / "a-1.0.jar").read_bytes() == b"the server's"
    assert set(json.loads((folder / "complete.json").read_text())["files"]) == {
        "a-1.0.jar",
        "knn.jar",
    }


def test_jars_of_an_older_lock_file_are_deleted(cache: Path, tmp_path: Path) -> None:
    old, new = locked_artifact("old", b"old"), locked_artifact("new", b"new")
    put_in_local_repository(tmp_path, old, b"old")
    put_in_local_repository(tmp_path, new, b"new")
    jars.ensure_jars(write_lock(tmp_path, old))
    folder = jars.ensure_jars(write_lock(tmp_path, new))
    assert [path.name for path in folder.glob("*.jar")] == ["new-1.0.jar"]
