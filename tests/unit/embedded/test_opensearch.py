"""What can be said of the node and the S3 server without starting them."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from raypipe.embedded import EmbeddedError, diagnosis, opensearch, ports, s3
from raypipe.embedded.opensearch import OpenSearchNode


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OpenSearchNode:
    monkeypatch.setattr(opensearch, "ensure_jars", lambda: Path("/jars"))
    monkeypatch.setattr(opensearch, "find_java", lambda: Path("/bin/java"))
    monkeypatch.setattr(opensearch, "has_module", lambda *_: False)
    return OpenSearchNode(tmp_path)


def test_a_taken_port_is_passed_over(node: OpenSearchNode, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert not ports.is_free(port)
        assert ports.first_free([port]) is None
    monkeypatch.setattr(ports, "is_free", lambda port: port == 9203)
    command = node.command()
    assert command[command.index("-baseHttpPort") + 1] == "9202"


def test_no_free_port_is_an_error(node: OpenSearchNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda port: False)
    with pytest.raises(EmbeddedError, match="9200 to 9299"):
        node.command()


def test_another_versions_folder_is_refused_by_name(node: OpenSearchNode) -> None:
    node.home.mkdir()
    (node.home / "version.json").write_text('{"opensearch": "2.19.0"}')
    with pytest.raises(EmbeddedError, match=r"2\.19\.0.*3\.5\.0"):
        node.command()


def test_it_stays_on_this_machine(node: OpenSearchNode) -> None:
    node.command()
    assert "network.host: 127.0.0.1\n" in (node.home / "config" / "opensearch.yml").read_text()
    assert node.url() is None
    http, transport = (node.home / "logs" / name for name in ("http.ports", "transport.ports"))
    http.write_text("127.0.0.1:9205\n")
    assert node.url() is None, "the transport port isn't known yet"
    transport.write_text("127.0.0.1:9300\n")
    assert node.url() == "http://127.0.0.1:9205"
    transport.write_text("192.0.2.7:9300\n")
    with pytest.raises(EmbeddedError, match=r"192\.0\.2\.7"):
        node.url()


def test_the_last_starts_address_is_forgotten(node: OpenSearchNode) -> None:
    node.command()
    for name in ("http.ports", "transport.ports"):
        (node.home / "logs" / name).write_text("127.0.0.1:9205\n")
    node.command()
    assert node.url() is None


def test_the_swallowed_reason_is_found() -> None:
    def line(name: str, text: str = "") -> str:
        return f"[3.7s][info][exceptions] Exception <a '{name}'{{0x00000000e8c2d630}}{text}>"

    lines = [
        line("java/lang/NoSuchFieldError", ": x"),
        line("org/opensearch/common/settings/SettingsException", ": unknown setting [a.b]"),
        line("java/lang/InterruptedException"),
        line("org/codelibs/opensearch/runner/OpenSearchRunnerException", ": Failed to start"),
    ]
    assert diagnosis.reason(lines) == "SettingsException: unknown setting [a.b]"
    assert diagnosis.reason(lines[:2]) is None
    assert diagnosis.was_swallowed("[INFO ][stdout] Closed all nodes.")
    assert not diagnosis.was_swallowed("[o.o.n.Node] started\n[stdout] Closed all nodes.")


def test_known_failures_are_explained(node: OpenSearchNode) -> None:
    assert "disk is full" in (node.explain("java.io.IOException: No space left on device") or "")
    assert node.explain("anything else") is None


def test_sample_books_are_all_files_but_the_readme(tmp_path: Path) -> None:
    for name in ("A__by__B.txt", "README.md", "variants/A.latin1.txt", ".hidden"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    assert list(s3.sample_books(tmp_path)) == ["A__by__B.txt", "variants/A.latin1.txt"]
