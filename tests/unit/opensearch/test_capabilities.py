"""What a server is found to be, and which are refused."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from raypipe.core.errors import SetupError
from raypipe.opensearch.connection.capabilities import Server
from raypipe.opensearch.index import IndexAlias, IndexConfig
from tests.unit.opensearch.parts import config_at
from tests.unit.opensearch.stub import Reply, Stub

OURS = "The OpenSearch Project: https://opensearch.org/"
KNN = [{"component": "opensearch-knn"}, {"component": "opensearch-security"}]
CLASSES = [
    {"component": "org.opensearch.knn.plugin.KNNPlugin"},
    {"component": "org.opensearch.geo.GeoModulePlugin"},
]


def check_server(config: IndexConfig) -> Server:
    return IndexAlias(config).check_server()


def says(stub: Stub, plugins: Any = None, tagline: str = OURS, **version: Any) -> None:
    """Let the server say this of itself."""
    stub.paths["/"] = Reply(body={"version": {"number": "2.19.1", **version}, "tagline": tagline})
    if plugins is not None:
        stub.paths["/_cat/plugins"] = Reply(body=plugins)


@pytest.mark.parametrize(
    ("plugins", "version", "name"),
    [
        (KNN, {"distribution": "opensearch"}, "OpenSearch 2.19.1, with the plugins knn, security"),
        (CLASSES, {"distribution": "opensearch"}, "OpenSearch 2.19.1, with the plugins knn"),
        (None, {"number": "3.5.0"}, "OpenSearch 3.5.0"),  # it does not tell
        # Domains that pretend for old clients' sake: compatibility.override_main_response_version
        (KNN, {"number": "7.10.2"}, "OpenSearch 7.10.2, with the plugins knn, security"),
    ],
)
def test_what_it_is_and_has_is_found_out_and_told(
    stub: Stub, caplog: pytest.LogCaptureFixture, plugins: Any, version: Any, name: str
) -> None:
    says(stub, plugins, **version)
    with caplog.at_level(logging.INFO):
        assert str(check_server(config_at(stub.url))) == name
    assert f"{stub.url} is {name}" in caplog.text


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405])
def test_a_server_need_not_tell_its_plugins(stub: Stub, status: int) -> None:
    says(stub)
    stub.paths["/_cat/plugins"] = Reply(status, {"message": "no"})
    assert check_server(config_at(stub.url)).plugins is None


@pytest.mark.parametrize(
    ("plugins", "tagline", "version", "said"),
    [
        (KNN, "You Know, for Search", {"number": "8.11.0"}, "is Elasticsearch 8.11.0; raypipe"),
        (KNN, OURS, {"number": "1.3.20"}, "is OpenSearch 1.3.20; raypipe needs OpenSearch 2"),
        ([], OURS, {}, "the plugin opensearch-knn is not installed"),
        ([{"component": "opensearch-security"}], OURS, {}, "opensearch-knn is not installed"),
    ],
    ids=["elasticsearch", "old", "no plugins", "other plugins"],
)
def test_what_cannot_be_used_is_refused_in_one_line(
    stub: Stub, plugins: Any, tagline: str, version: Any, said: str
) -> None:
    says(stub, plugins, tagline, **version)
    with pytest.raises(SetupError, match=said) as caught:
        check_server(config_at(stub.url))
    assert "\n" not in str(caught.value)


def test_native_engines_need_a_package(stub: Stub) -> None:
    says(stub, CLASSES, build_type="unknown")
    with pytest.raises(SetupError, match="faiss needs native libraries"):
        check_server(config_at(stub.url, engine="faiss"))
    says(stub, KNN, build_type="tar")
    check_server(config_at(stub.url, engine="faiss"))
