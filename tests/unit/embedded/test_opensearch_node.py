"""Command lines, addresses and failures of the node and the S3 server, without starting them."""

from __future__ import annotations

import re
import stat
import zipfile
from pathlib import Path

import pytest

from raypipe.core.net import is_loopback_literal
from raypipe.embedded import EmbeddedError, diagnosis, guard, opensearch_node, ports
from raypipe.embedded.opensearch_node import OpenSearchNode
from raypipe.embedded.sample_books import find_sample_books


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OpenSearchNode:
    monkeypatch.setattr(opensearch_node, "ensure_jars", lambda: Path("/jars"))
    monkeypatch.setattr(opensearch_node, "find_java", lambda: Path("/bin/java"))
    monkeypatch.setattr(opensearch_node, "has_module", lambda *_: False)
    return OpenSearchNode(tmp_path)


def test_no_process_list_shows_the_address(node: OpenSearchNode) -> None:
    command = node.prepare_command()
    settings = (node.home / "config" / "opensearch.yml").read_text()
    [address] = re.findall(r"(?m)^network.host: (.+)$", settings)
    assert is_loopback_literal(address)
    assert not any(address in argument for argument in command)
    assert command[command.index("-baseHttpPort") + 1] == "-1", "any free port"
    assert "transport.port: 0\n" in settings
    assert stat.S_IMODE((node.home / "config" / "opensearch.yml").stat().st_mode) == 0o600
    assert stat.S_IMODE(node.home.stat().st_mode) == 0o700
    node.prepare_command()
    assert settings != (node.home / "config" / "opensearch.yml").read_text()


def test_node_runs_the_guard(node: OpenSearchNode) -> None:
    command = node.prepare_command()
    assert str(guard.JAR) in command[command.index("-cp") + 1].split(":")
    assert guard.PLUGIN_CLASS in command[command.index("-pluginTypes") + 1].split(",")
    with zipfile.ZipFile(guard.JAR) as jar:
        assert jar.read(guard.SOURCE.name) == guard.SOURCE.read_bytes(), (
            "the jar is older than its source: run `python tools/build_guard.py`"
        )


def test_error_when_the_node_cannot_recognize_its_user(
    node: OpenSearchNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ports, "http_get", lambda *_: (403, b"raypipe: this server ..."))
    with pytest.raises(EmbeddedError, match="/proc/net/tcp"):
        node.is_ready("http://127.1.2.3:9")


def test_data_folder_of_another_version_is_rejected(node: OpenSearchNode) -> None:
    node.home.mkdir()
    (node.home / "version.json").write_text('{"opensearch": "2.19.0"}')
    with pytest.raises(EmbeddedError, match=r"2\.19\.0.*3\.5\.0"):
        node.prepare_command()


def test_node_listens_on_loopback_only(node: OpenSearchNode) -> None:
    node.prepare_command()
    assert node.find_url() is None
    http, transport = (node.home / "logs" / name for name in ("http.ports", "transport.ports"))
    http.write_text("127.4.5.6:9205\n")
    assert node.find_url() is None, "the transport port is not known yet"
    transport.write_text("127.4.5.6:9300\n")
    assert node.find_url() == "http://127.4.5.6:9205"
    transport.write_text("192.0.2.7:9300\n")
    with pytest.raises(EmbeddedError, match=r"192\.0\.2\.7"):
        node.find_url()


def test_addresses_of_the_previous_start_are_deleted(node: OpenSearchNode) -> None:
    node.prepare_command()
    for name in ("http.ports", "transport.ports"):
        (node.home / "logs" / name).write_text("127.4.5.6:9205\n")
    node.prepare_command()
    assert node.find_url() is None


def test_diagnosis_finds_the_swallowed_exception() -> None:
    def exception_line(name: str, text: str = "") -> str:
        return f"[3.7s][info][exceptions] Exception <a '{name}'{{0x00000000e8c2d630}}{text}>"

    lines = [
        exception_line("java/lang/NoSuchFieldError", ": x"),
        exception_line(
            "org/opensearch/common/settings/SettingsException", ": unknown setting [a.b]"
        ),
        exception_line("java/lang/InterruptedException"),
        exception_line(
            "org/codelibs/opensearch/runner/OpenSearchRunnerException", ": Failed to start"
        ),
    ]
    assert diagnosis.find_reason(lines) == "SettingsException: unknown setting [a.b]"
    assert diagnosis.find_reason(lines[:2]) is None
    assert diagnosis.is_reason_missing("[INFO ][stdout] Closed all nodes.")
    assert not diagnosis.is_reason_missing("[o.o.n.Node] started\n[stdout] Closed all nodes.")


def test_known_failures_are_explained(node: OpenSearchNode) -> None:
    assert "disk is full" in (
        node.explain_failure("java.io.IOException: No space left on device") or ""
    )
    assert node.explain_failure("anything else") is None


def test_sample_books_exclude_readme_and_hidden_files(tmp_path: Path) -> None:
    for name in ("A__by__B.txt", "README.md", "variants/A.latin1.txt", ".hidden"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    assert list(find_sample_books(tmp_path)) == ["A__by__B.txt", "variants/A.latin1.txt"]
