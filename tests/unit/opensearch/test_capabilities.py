"""Version and plugins of a server, and servers that are refused."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from raypipe.core.errors import SetupError
from raypipe.opensearch.connection.capabilities import Server
from raypipe.opensearch.index import IndexAlias, IndexConfig
from tests.unit.opensearch.builders import config_at
from tests.unit.opensearch.stub import Reply, Stub

OURS = "The OpenSearch Project: https://opensearch.org/"
KNN = [{"component": "opensearch-knn"}, {"component": "opensearch-security"}]
CLASSES = [
    {"component": "org.opensearch.knn.plugin.KNNPlugin"},
    {"component": "org.opensearch.geo.GeoModulePlugin"},
]


def check_server(config: IndexConfig) -> Server:
    return IndexAlias(config).check_server()


def describe_server(stub: Stub, plugins: Any = None, tagline: str = OURS, **version: Any) -> None:
    """Set version and plugins of the server."""
    stub.paths["/"] = Reply(body={"version": {"number": "2.19.1", **version}, "tagline": tagline})
    if plugins is not None:
        stub.paths["/_cat/plugins"] = Reply(body=plugins)


@pytest.mark.parametrize(
    ("plugins", "version", "name"),
    [
        (KNN, {"distribution": "opensearch"}, "OpenSearch 2.19.1, with the plugins knn, security"),
        (CLASSES, {"distribution": "opensearch"}, "OpenSearch 2.19.1, with the plugins knn"),
        (None, {"number": "3.5.0"}, "OpenSearch 3.5.0"),  # plugins unknown
        # Domains that imitate Elasticsearch: compatibility.override_main_response_version
        (KNN, {"number": "7.10.2"}, "OpenSearch 7.10.2, with the plugins knn, security"),
    ],
)
def test_version_and_plugins_are_read_and_logged(
    stub: Stub, caplog: pytest.LogCaptureFixture, plugins: Any, version: Any, name: str
) -> None:
    describe_server(stub, plugins, **version)
    with caplog.at_level(logging.INFO):
        assert str(check_server(config_at(stub.url))) == name
    assert f"{stub.url} is {name}" in caplog.text


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405])
def test_a_server_may_hide_its_plugins(stub: Stub, status: int) -> None:
    describe_server(stub)
    stub.paths["/_cat/plugins"] = Reply(status, {"message": "no"})
    assert check_server(config_at(stub.url)).plugins is None


@pytest.mark.parametrize(
    ("plugins", "tagline", "version", "message"),
    [
        (KNN, "You Know, for Search", {"number": "8.11.0"}, "is Elasticsearch 8.11.0; raypipe"),
        (KNN, OURS, {"number": "1.3.20"}, "is OpenSearch 1.3.20; raypipe needs OpenSearch 2"),
        ([], OURS, {}, "the plugin opensearch-knn is not installed"),
        ([{"component": "opensearch-security"}], OURS, {}, "opensearch-knn is not installed"),
    ],
    ids=["elasticsearch", "old", "no plugins", "other plugins"],
)
def test_an_unusable_server_is_refused_in_one_line(
    stub: Stub, plugins: Any, tagline: str, version: Any, message: str
) -> None:
    describe_server(stub, plugins, tagline, **version)
    with pytest.raises(SetupError, match=message) as caught:
        check_server(config_at(stub.url))
    assert "\n" not in str(caught.value)


def test_faiss_needs_a_server_installed_from_a_package(stub: Stub) -> None:
    describe_server(stub, CLASSES, build_type="unknown")
    with pytest.raises(SetupError, match="faiss needs native libraries"):
        check_server(config_at(stub.url, engine="faiss"))
    describe_server(stub, KNN, build_type="tar")
    check_server(config_at(stub.url, engine="faiss"))
