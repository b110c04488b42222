"""Find out the server's distribution, version and plugins, and refuse servers that do not fit."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from raypipe.core.errors import SetupError
from raypipe.opensearch.connection.answers import parsing
from raypipe.opensearch.connection.client import Connection

log = logging.getLogger(__name__)

KNN = "knn"
MIN_MAJOR_VERSION = 2
_MODULE_SUFFIX = "ModulePlugin"
"""Built-in modules, which a server built from plain jars lists, by class, among its plugins."""
_PLUGINS_UNKNOWN = (400, 401, 403, 404, 405)
"""Statuses with which servers hide their plugins from this user."""


@dataclass(frozen=True)
class Server:
    """Version and plugins of a server.

    Args:
        name: Distribution and version.
        plugins: Short names of its plugins, like `knn`; None if the server hides them.
        has_native_libraries: Whether it was installed from a package, which contains the native
            k-NN libraries.
    """

    name: str
    plugins: frozenset[str] | None = None
    has_native_libraries: bool = True

    def __str__(self) -> str:
        if self.plugins is None:
            return self.name
        return f"{self.name}, with the plugins {', '.join(sorted(self.plugins)) or 'none'}"

    def check_engine(self, engine: str) -> None:
        """Raise `SetupError` if the server cannot run a k-NN engine.

        The embedded node has no native libraries: with faiss the shard fails, and the request
        that creates the index hangs until its timeout, so it is refused before it is sent.
        """
        if engine == "faiss" and not self.has_native_libraries:
            raise SetupError(
                "opensearch.engine=faiss needs native libraries, which the embedded server does "
                "not have; use opensearch.engine=lucene, or connect to another server "
                "(opensearch=self_managed)"
            )


SERVERLESS = Server("OpenSearch Serverless: no ids, no refresh, no settings")
"""A Serverless collection, which does not answer `GET /`."""


def check_server(connection: Connection) -> Server:
    """Return the server's version and plugins.

    Raises:
        SetupError: The server is another product, too old, or lacks the k-NN plugin.
    """
    info = connection.info()
    version = info["version"]
    _check_version(connection.endpoint, info)
    params = {"format": "json", "h": "component"}
    plugins = connection.ask("GET", "/_cat/plugins", params=params, ignore=_PLUGINS_UNKNOWN)
    with parsing(connection, "GET /_cat/plugins"):
        names = _short_names(plugins) if isinstance(plugins, list) else None
    server = Server(
        f"OpenSearch {version['number']}",
        names,
        # Servers built from plain jars, like the embedded one, report `unknown`; packages report
        # `tar`, `rpm`, `deb` or `docker`.
        has_native_libraries=version.get("build_type") != "unknown",
    )
    if server.plugins is not None and KNN not in server.plugins:
        raise SetupError(
            f"OpenSearch at {connection.endpoint}: the plugin opensearch-{KNN} is not installed; "
            "install it, or set another opensearch.endpoint"
        )
    return server


def _short_names(plugins: list[dict[str, Any]]) -> frozenset[str]:
    """Return `knn` for `opensearch-knn` and for `org.opensearch.knn.plugin.KNNPlugin`."""
    names = (str(plugin.get("component")) for plugin in plugins)
    return frozenset(
        name.rpartition(".")[2].removesuffix("Plugin").removeprefix("opensearch-").lower()
        for name in names
        if not name.endswith(_MODULE_SUFFIX)
    )


def _check_version(endpoint: str, info: dict[str, Any]) -> None:
    version = info["version"]
    number = str(version["number"])
    tagline = str(info.get("tagline", ""))
    is_opensearch = version.get("distribution") == "opensearch" or "OpenSearch" in tagline
    major = number.partition(".")[0]
    # A server that imitates Elasticsearch for old clients reports 7.10.2.
    if is_opensearch and (not major.isdigit() or int(major) >= MIN_MAJOR_VERSION):
        return
    product = "OpenSearch" if is_opensearch else "Elasticsearch"
    raise SetupError(f"{endpoint} is {product} {number}; raypipe needs OpenSearch 2 or newer")
