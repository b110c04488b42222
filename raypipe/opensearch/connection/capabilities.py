"""What a server says of itself, and whether raypipe can use it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from raypipe.core.errors import SetupError
from raypipe.opensearch.index.config import IndexConfig
from raypipe.opensearch.index.mapping import check_engine

log = logging.getLogger(__name__)

KNN = "knn"
_OLDEST = 2
_MODULE = "ModulePlugin"
"""What every server has; one from plain jars names it, by its class, among the plugins."""
_SILENT = (400, 401, 403, 404, 405)
"""What servers answer that do not tell this user which plugins they have."""


@dataclass(frozen=True)
class Server:
    """What a server is and has.

    Args:
        name: Distribution and version.
        plugins: Short names of its plugins, like `knn`; None = it does not tell.
        packaged: Whether it comes from a package, which brings the native k-NN libraries.
    """

    name: str
    plugins: frozenset[str] | None = None
    packaged: bool = True

    def __str__(self) -> str:
        if self.plugins is None:
            return self.name
        return f"{self.name}, with the plugins {', '.join(sorted(self.plugins)) or 'none'}"


def check_server(index: IndexConfig) -> Server:
    """Find out what the server is, say so, and return it.

    Raises:
        SetupError: It cannot be used: another product, too old, or without the k-NN plugin.
    """
    server = _asked(index)
    where = f"OpenSearch at {index.connection.endpoint}"
    if server.plugins is not None and KNN not in server.plugins:
        raise SetupError(
            f"{where}: the plugin opensearch-{KNN} is missing there; install it, or give another "
            "opensearch.endpoint"
        )
    check_engine(index.engine, embedded=not server.packaged)
    log.info("%s is %s", index.connection.endpoint, server)
    return server


def _asked(index: IndexConfig) -> Server:
    connection = index.connection
    if connection.serverless:  # which does not answer to `GET /`
        return Server("OpenSearch Serverless: no ids, no refresh, no settings")
    info = connection.info()
    version = info["version"]
    _check_version(index, info)
    params = {"format": "json", "h": "component"}
    listed = connection.ask("GET", "/_cat/plugins", params=params, ignore=_SILENT)
    return Server(
        f"OpenSearch {version['number']}",
        _short(listed) if isinstance(listed, list) else None,
        # Servers built from plain jars, as the embedded one is, say `unknown` where packages say
        # `tar`, `rpm`, `deb` or `docker`.
        packaged=version.get("build_type") != "unknown",
    )


def _short(listed: list[dict[str, Any]]) -> frozenset[str]:
    """Return `knn` for `opensearch-knn`, and for `org.opensearch.knn.plugin.KNNPlugin` too."""
    names = (str(one.get("component")) for one in listed)
    return frozenset(
        name.rpartition(".")[2].removesuffix("Plugin").removeprefix("opensearch-").lower()
        for name in names
        if not name.endswith(_MODULE)
    )


def _check_version(index: IndexConfig, info: dict[str, Any]) -> None:
    version = info["version"]
    number = str(version["number"])
    ours = version.get("distribution") == "opensearch" or "OpenSearch" in info.get("tagline", "")
    major = number.partition(".")[0]
    # One that pretends to be Elasticsearch for old clients' sake says 7.10.2 of itself.
    if ours and (not major.isdigit() or int(major) >= _OLDEST):
        return
    product = "OpenSearch" if ours else "Elasticsearch"
    raise SetupError(
        f"{index.connection.endpoint} is {product} {number}; raypipe needs OpenSearch 2 or newer"
    )
