"""Start the real OpenSearch node and S3 server, from the jars of the lock file."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raypipe.core.net import is_loopback_literal
from raypipe.embedded import (
    EmbeddedError,
    guardian,
    jars,
    locks,
    opensearch_node,
    s3,
    sample_books,
    services,
)
from raypipe.embedded.services import Services

ROOT = Path(guardian.__file__).parents[2]
BOOKS_INDEX = {
    "settings": {"index.knn": True, "number_of_shards": 1, "number_of_replicas": 1},
    "mappings": {
        "properties": {
            "text": {"type": "text", "analyzer": "english"},
            "vector": {
                "type": "knn_vector",
                "dimension": 3,
                "method": {"name": "hnsw", "engine": "lucene", "space_type": "cosinesimil"},
            },
        }
    },
}


def send_request(url: str, method: str = "GET", body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=120) as response:
        return json.load(response)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("embedded")
    yield folder
    services.stop_services(folder)


@pytest.fixture(scope="module")
def user(data: Path) -> Iterator[Services]:
    with Services(data) as user:
        yield user


@pytest.fixture(scope="module")
def urls(user: Services) -> tuple[str, str]:
    return user.start_both()


def test_node_is_a_real_server_on_loopback_only(urls: tuple[str, str], data: Path) -> None:
    assert send_request(urls[0])["version"]["number"] == "3.5.0"
    nodes = send_request(f"{urls[0]}/_nodes/http,transport,plugins")["nodes"]
    [node] = nodes.values()
    for layer in ("http", "transport"):
        hosts = {address.rpartition(":")[0] for address in node[layer]["bound_address"]}
        assert all(is_loopback_literal(host) for host in hosts)
    assert "org.opensearch.knn.plugin.KNNPlugin" in {plugin["name"] for plugin in node["plugins"]}


def test_node_indexes_and_searches_vectors_and_text(urls: tuple[str, str]) -> None:
    index = f"{urls[0]}/books"
    assert send_request(index, "PUT", BOOKS_INDEX)["acknowledged"]
    for number, vector in enumerate(([1, 0, 0], [0, 1, 0], [0, 0, 1])):
        document = {"text": f"{number} lighthouses", "vector": vector}
        send_request(f"{index}/_doc/{number}?refresh=true", "PUT", document)
    query: dict[str, Any] = {"query": {"knn": {"vector": {"vector": [0.1, 0.9, 0.2], "k": 1}}}}
    assert send_request(f"{index}/_search", "POST", query)["hits"]["hits"][0]["_id"] == "1"
    query = {"query": {"match": {"text": "lighthouse"}}}
    assert send_request(f"{index}/_search", "POST", query)["hits"]["total"]["value"] == 3


def test_files_are_readable_by_their_owner_only(urls: tuple[str, str], data: Path) -> None:
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (data, *data.rglob("*"))}
    assert [path for path, mode in modes.items() if mode & 0o077] == []
    for service, url in zip(("opensearch", "s3"), urls, strict=True):
        assert json.loads((data / f"{service}.json").read_text())["url"] == url


def test_disk_watermarks_are_absolute(urls: tuple[str, str]) -> None:
    settings = send_request(f"{urls[0]}/_cluster/settings?include_defaults=true&flat_settings=true")
    watermark = "cluster.routing.allocation.disk.watermark.flood_stage"
    assert settings["defaults"][watermark] == "200mb"


def test_a_second_user_shares_both_services(urls: tuple[str, str], data: Path) -> None:
    with Services(data) as second:
        assert second.start_both() == urls
    assert send_request(urls[0])["version"]["number"] == "3.5.0"
    assert {service.name for service in services.list_running(data)} == {"opensearch", "s3"}


def test_another_data_folder_gets_separate_services(urls: tuple[str, str], tmp_path: Path) -> None:
    with Services(tmp_path) as other:
        other_urls = other.start_both()
        assert not set(other_urls) & set(urls)
        assert send_request(other_urls[0])["cluster_name"] == "raypipe"
    assert services.list_running(tmp_path) == []


def test_s3_stores_exact_bytes_and_ignores_aws_settings(
    urls: tuple[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "not-there")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "é.txt").write_bytes(b"\xff\xfe\x00raw")
    assert sample_books.upload_sample_books(urls[1], "mine", tmp_path) == 1
    assert sample_books.upload_sample_books(urls[1], "mine", tmp_path) == 0
    client = s3.create_client(urls[1])
    response = client.get_object(Bucket="mine", Key="sub/é.txt")
    assert response["Body"].read() == b"\xff\xfe\x00raw"
    objects = client.list_objects_v2(Bucket=sample_books.BUCKET).get("Contents", [])
    keys = {listed_object["Key"] for listed_object in objects}
    assert keys == set(sample_books.find_sample_books())


def test_index_survives_kill_9_of_the_only_user(tmp_path: Path) -> None:
    program = (
        f"import sys, time, pathlib; sys.path.insert(0, {str(ROOT)!r})\n"
        "from raypipe.embedded.services import Services\n"
        f"user = Services(pathlib.Path({str(tmp_path)!r}))\n"
        "print(user.start_opensearch(), flush=True); time.sleep(300)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    url = parent.stdout.readline().strip()
    send_request(f"{url}/kept/_doc/1?refresh=true", "PUT", {"a": 1})
    [node] = services.list_running(tmp_path)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert locks.wait_for(lambda: guardian.start_time(node.pid) is None, 60)
    with Services(tmp_path) as user:
        assert send_request(f"{user.start_opensearch()}/kept/_count")["count"] == 1


def test_kept_services_run_until_stop_services(tmp_path: Path) -> None:
    with Services(tmp_path) as user:
        url, _ = user.start_and_keep()
    try:
        assert send_request(url)["version"]["number"] == "3.5.0"
        assert all(service.is_kept for service in services.list_running(tmp_path))
    finally:
        assert services.stop_services(tmp_path) == ["opensearch", "s3"]
    assert services.list_running(tmp_path) == []


def test_error_of_a_failed_start_gives_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = opensearch_node.SETTINGS + "no.such.setting: 1\n"
    monkeypatch.setattr(opensearch_node, "SETTINGS", settings)
    with Services(tmp_path) as user, pytest.raises(EmbeddedError, match=r"no\.such\.setting"):
        user.start_opensearch()
    assert not list((tmp_path / "logs").glob("*diagnosis*"))


def test_error_without_network_and_cache_names_fixes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "jgo.conf"
    settings.write_text("[repositories]\ncentral = http://127.0.0.1:9/maven\n")
    monkeypatch.setenv("JGO_CONFIG_FILE", str(settings))
    monkeypatch.setenv("M2_REPO", str(tmp_path / "m2"))
    monkeypatch.setenv("RAYPIPE_CACHE", str(tmp_path / "cache"))
    started = time.monotonic()
    with Services(tmp_path / "data") as user, pytest.raises(EmbeddedError) as raised:
        user.start_opensearch()
    assert time.monotonic() - started < 120
    for fix in ("connect to the network", "opensearch.endpoint=", "opensearch=none"):
        assert fix in str(raised.value)
    assert os.path.commonpath([jars.cache_home(), tmp_path]) == str(tmp_path)
