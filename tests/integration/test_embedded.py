"""The real node and the real S3 server, from the lock file's jars."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raypipe.embedded import EmbeddedError, guardian, jars, opensearch, s3, services, supervise
from raypipe.embedded.services import Services

pytestmark = pytest.mark.integration

ROOT = Path(guardian.__file__).parents[2]
BOOKS = {
    "index": {
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
}


def ask(url: str, method: str = "GET", body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=120) as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("embedded")
    yield folder
    services.down(folder)


@pytest.fixture(scope="module")
def user(data: Path) -> Iterator[Services]:
    with Services(data) as user:
        yield user


@pytest.fixture(scope="module")
def urls(user: Services) -> tuple[str, str]:
    return user.start_both()


def test_it_is_a_real_server_on_this_machine_only(urls: tuple[str, str], data: Path) -> None:
    assert ask(urls[0])["version"]["number"] == "3.5.0"
    nodes = ask(f"{urls[0]}/_nodes/http,transport,plugins")["nodes"]
    [node] = nodes.values()
    for layer in ("http", "transport"):
        assert all(item.startswith("127.0.0.1:") for item in node[layer]["bound_address"])
    assert "org.opensearch.knn.plugin.KNNPlugin" in {item["name"] for item in node["plugins"]}


def test_knn_and_text_are_indexed_and_found(urls: tuple[str, str]) -> None:
    index = f"{urls[0]}/books"
    assert ask(index, "PUT", BOOKS["index"])["acknowledged"]
    for number, vector in enumerate(([1, 0, 0], [0, 1, 0], [0, 0, 1])):
        document = {"text": f"{number} lighthouses", "vector": vector}
        ask(f"{index}/_doc/{number}?refresh=true", "PUT", document)
    query: dict[str, Any] = {"query": {"knn": {"vector": {"vector": [0.1, 0.9, 0.2], "k": 1}}}}
    assert ask(f"{index}/_search", "POST", query)["hits"]["hits"][0]["_id"] == "1"
    query = {"query": {"match": {"text": "lighthouse"}}}
    assert ask(f"{index}/_search", "POST", query)["hits"]["total"]["value"] == 3


def test_the_disk_marks_are_absolute(urls: tuple[str, str]) -> None:
    settings = ask(f"{urls[0]}/_cluster/settings?include_defaults=true&flat_settings=true")
    mark = "cluster.routing.allocation.disk.watermark.flood_stage"
    assert settings["defaults"][mark] == "200mb"


def test_a_second_user_shares_both(urls: tuple[str, str], data: Path) -> None:
    with Services(data) as second:
        assert second.start_both() == urls
    assert ask(urls[0])["version"]["number"] == "3.5.0"
    assert {item.name for item in services.status(data)} == {"opensearch", "s3"}


def test_another_folder_gets_a_node_and_a_server_of_its_own(
    urls: tuple[str, str], tmp_path: Path
) -> None:
    with Services(tmp_path) as other:
        found = other.start_both()
        assert not set(found) & set(urls)
        assert ask(found[0])["cluster_name"] == "raypipe"
    assert services.status(tmp_path) == []


def test_s3_holds_the_samples_byte_by_byte_whatever_the_users_settings(
    urls: tuple[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "not-there")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "é.txt").write_bytes(b"\xff\xfe\x00raw")
    assert s3.put_samples(urls[1], "mine", tmp_path) == 1
    assert s3.put_samples(urls[1], "mine", tmp_path) == 0
    client = s3.client(urls[1])
    answer = client.get_object(Bucket="mine", Key="sub/é.txt")
    assert answer["Body"].read() == b"\xff\xfe\x00raw"
    listed = client.list_objects_v2(Bucket=s3.SAMPLE_BUCKET).get("Contents", [])
    assert {item["Key"] for item in listed} == set(s3.sample_books())


def test_kill_9_of_the_parent_ends_the_node_and_the_index_survives(tmp_path: Path) -> None:
    program = (
        f"import sys, time, pathlib; sys.path.insert(0, {str(ROOT)!r})\n"
        "from raypipe.embedded.services import Services\n"
        f"user = Services(pathlib.Path({str(tmp_path)!r}))\n"
        "print(user.opensearch(), flush=True); time.sleep(300)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    url = parent.stdout.readline().strip()
    ask(f"{url}/kept/_doc/1?refresh=true", "PUT", {"a": 1})
    [node] = services.status(tmp_path)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert supervise.wait_for(lambda: guardian.start_time(node.pid) is None, 60)
    with Services(tmp_path) as user:
        assert ask(f"{user.opensearch()}/kept/_count")["count"] == 1


def test_up_stays_and_down_stops(tmp_path: Path) -> None:
    with Services(tmp_path) as user:
        url, _ = user.up()
    try:
        assert ask(url)["version"]["number"] == "3.5.0"
        assert all(item.kept for item in services.status(tmp_path))
    finally:
        assert services.down(tmp_path) == ["opensearch", "s3"]
    assert services.status(tmp_path) == []


def test_a_start_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = opensearch.SETTINGS + "no.such.setting: 1\n"
    monkeypatch.setattr(opensearch, "SETTINGS", settings)
    with Services(tmp_path) as user, pytest.raises(EmbeddedError, match=r"no\.such\.setting"):
        user.opensearch()
    assert not list((tmp_path / "logs").glob("*diagnosis*"))


def test_no_network_and_nothing_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = tmp_path / "jgo.conf"
    settings.write_text("[repositories]\ncentral = http://127.0.0.1:9/maven\n")
    monkeypatch.setenv("JGO_CONFIG_FILE", str(settings))
    monkeypatch.setenv("M2_REPO", str(tmp_path / "m2"))
    monkeypatch.setenv("RAYPIPE_CACHE", str(tmp_path / "cache"))
    started = time.monotonic()
    with Services(tmp_path / "data") as user, pytest.raises(EmbeddedError) as raised:
        user.opensearch()
    assert time.monotonic() - started < 120
    for way in ("connect to the network", "opensearch.endpoint=", "opensearch=none"):
        assert way in str(raised.value)
    assert os.path.commonpath([jars.cache_home(), tmp_path]) == str(tmp_path)
