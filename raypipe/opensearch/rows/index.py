"""Find the index or alias that rows are written to, or create it."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raypipe.core.errors import SetupError
from raypipe.opensearch.bulk.batch_size import MEBIBYTE
from raypipe.opensearch.bulk.target import BulkTarget
from raypipe.opensearch.connection.answers import parsing
from raypipe.opensearch.connection.client import Connection
from raypipe.opensearch.index.ref import write_alias

log = logging.getLogger(__name__)

_OWN = "raypipe_sink"
"""Key in a mapping's `_meta` that marks an index which the sink has created."""
_KNN = "knn_vector"
_CREATED_POLL_S = 2.0
_CREATED_S = 60.0
"""Seconds until a new index of a Serverless collection exists."""
_FORBIDDEN = frozenset('\\/*?"<>|,#: ')


@dataclass(frozen=True)
class OpenIndex:
    """An index or alias that exists.

    Args:
        target: Name to send requests to.
        physical: Index that takes new documents.
        requires_alias: Whether `target` is an alias, so that a write creates no index.
        is_alias: Whether the given name is an alias, whose index may change during a write.
        uuid: Id of the index that the server gave it; '' for an alias.
    """

    target: str
    physical: str
    requires_alias: bool
    is_alias: bool
    uuid: str


@dataclass(frozen=True)
class RowIndex:
    """The index that a dataset is written to.

    A missing index is created, with a private alias `<index>-write`. Rows are written through
    that alias, so that a write never creates an index: if it is deleted meanwhile, it stays
    deleted. An existing index gets the alias, too, where the user may add it, and is otherwise
    left as it is. An existing alias is written by its own name.

    Args:
        connection: Connection to the server.
        name: Name of the index, or of an alias.
        mapping: Mapping of a new index, or the whole body with `settings` and `mappings`; None
            lets the server derive the mapping from the documents.
        vector_column: Field with vectors; a new index gets a `knn_vector` for it unless `mapping`
            has the field.
        max_docs: Most documents in a request.
        max_bytes: Most uncompressed bytes in a request.
        retry_budget_s: Seconds in which documents are sent again to a server in trouble.
    """

    connection: Connection
    name: str
    mapping: Mapping[str, Any] | None = None
    vector_column: str | None = None
    max_docs: int = 1000
    max_bytes: int = 8 * MEBIBYTE
    retry_budget_s: float = 600.0

    def __post_init__(self) -> None:
        """Check the settings.

        Raises:
            ValueError: A setting is out of its range.
        """
        is_usable = bool(self.name) and not _FORBIDDEN.intersection(self.name)
        if not is_usable or self.name[0] in "_-+." or len(self.name.encode()) > 249:
            raise ValueError(
                f"index={self.name} cannot be the name of an index or alias: use lowercase "
                "letters, digits, - and _, and begin with a letter or digit"
            )
        for name in ("max_docs", "max_bytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        if self.retry_budget_s < 0:
            raise ValueError(f"retry_budget_s={self.retry_budget_s} must be at least 0")
        if self.mapping is not None and not isinstance(self.mapping, Mapping):
            raise ValueError('mapping must be a dictionary like {"properties": {...}}')

    @property
    def label(self) -> str:
        """Return index and server for messages."""
        return f"{self.name} at {self.connection.endpoint}"

    @property
    def needs_dimension(self) -> bool:
        """Whether a new index needs the length of the vectors."""
        properties = self._body()["mappings"].get("properties", {})
        return self.vector_column is not None and self.vector_column not in properties

    def open(self, dimension: int | None) -> OpenIndex:
        """Return the index; create it if it is missing.

        Args:
            dimension: Length of the vectors; None if it is unknown. An index that was created
                without it gets the vector's field with the first task that knows it.

        Raises:
            SetupError: The server refuses, or the index cannot be written.
        """
        found = self.describe()
        if found is None:
            self._create(dimension)
            found = self._wait_until_created()
        physical, body = found
        if dimension is not None:
            self._add_vector_field(physical, body, dimension)
        return self._to_open(physical, body)

    def find(self) -> OpenIndex | None:
        """Return the index, or None if it is missing."""
        found = self.describe()
        return self._to_open(*found) if found is not None else None

    def describe(self) -> tuple[str, dict[str, Any]] | None:
        """Return name and body of the index that takes new documents; None if it is missing.

        Raises:
            SetupError: The server refuses, or the name is that of a data stream, or of an alias
                without a write index.
        """
        response = self.connection.ask("GET", f"/{self.name}", ignore=(404,))
        if response is None or response == {}:
            return None
        with parsing(self.connection, f"GET /{self.name}"):
            return self._find_written(dict(response))

    def _find_written(self, response: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return name and body of the index that takes new documents."""
        if any(physical.startswith(".ds-") for physical in response):
            raise SetupError(
                f"{self.label} is a data stream, which takes no index actions; write to an index "
                "or an alias"
            )
        if len(response) == 1:
            [(physical, body)] = response.items()
            return physical, body
        for physical, body in response.items():
            if body.get("aliases", {}).get(self.name, {}).get("is_write_index"):
                return physical, body
        raise SetupError(
            f"{self.label} is an alias of {len(response)} indices without a write index; set "
            "is_write_index for one of them in POST /_aliases"
        )

    def ensure_write_alias(self) -> None:
        """Give an existing index its private alias, where the user may do that.

        Raises:
            SetupError: The server cannot be used.
        """
        found = self.find()
        if found is None or found.requires_alias or found.is_alias:
            return
        alias = write_alias(found.physical)
        add = {"index": found.physical, "alias": alias, "is_write_index": True}
        try:
            if self.connection.ask("GET", f"/{alias}", ignore=(404,)) is None:
                self.connection.ask("POST", "/_aliases", body={"actions": [{"add": add}]})
                return
            reason = "this name is taken"
        except SetupError as error:
            reason = str(error)
        log.info("%s gets no alias %s and is written by its name: %s", self.label, alias, reason)

    def bulk_target(self, index: OpenIndex) -> BulkTarget:
        """Return address and limits of bulk requests."""
        return BulkTarget(
            connection=self.connection,
            name=index.target,
            label=self.name,
            physical="" if index.is_alias else index.physical,
            max_bytes=self.max_bytes,
            max_docs=self.max_docs,
            retry_budget_s=self.retry_budget_s,
            require_alias=index.requires_alias,
        )

    def _to_open(self, physical: str, body: Mapping[str, Any]) -> OpenIndex:
        with parsing(self.connection, f"GET /{self.name}"):
            return self._read_open(physical, body)

    def _read_open(self, physical: str, body: Mapping[str, Any]) -> OpenIndex:
        is_alias = physical != self.name
        own = body.get("aliases", {}).get(write_alias(physical), {})
        has_own = bool(own.get("is_write_index"))
        target = write_alias(physical) if has_own and not is_alias else self.name
        uuid = "" if is_alias else str(body.get("settings", {}).get("index", {}).get("uuid", ""))
        return OpenIndex(target, physical, is_alias or has_own, is_alias, uuid)

    def _create(self, dimension: int | None) -> None:
        body = self._body()
        mappings, settings = body["mappings"], body["settings"]
        if dimension is not None and self.needs_dimension:
            properties = mappings.get("properties", {})
            mappings["properties"] = {**properties, self.vector_column: self._vector(dimension)}
        if self.needs_dimension or _KNN in str(mappings):
            settings.setdefault("index.knn", True)
        mappings["_meta"] = {**mappings.get("_meta", {}), _OWN: {"vector": self.vector_column}}
        aliases = {**body.get("aliases", {}), write_alias(self.name): {"is_write_index": True}}
        body = {**body, "aliases": aliases}
        try:
            self.connection.ask("PUT", f"/{self.name}", body=body)
        except SetupError:
            if self.describe() is None:  # else another write task was faster
                raise
            return
        log.info("Created the index %s", self.label)

    def _wait_until_created(self) -> tuple[str, dict[str, Any]]:
        end = time.monotonic() + _CREATED_S
        while (found := self.describe()) is None:
            if time.monotonic() >= end:
                raise SetupError(f"{self.label} was created, and is not there; was it deleted?")
            time.sleep(_CREATED_POLL_S)
        return found

    def _add_vector_field(self, physical: str, body: Mapping[str, Any], dimension: int) -> None:
        """Add the vector's field to an index that the sink created before it knew the length."""
        with parsing(self.connection, f"GET /{self.name}"):
            mappings = body.get("mappings", {})
            is_own = mappings.get("_meta", {}).get(_OWN, {}).get("vector") == self.vector_column
            has_field = self.vector_column in mappings.get("properties", {})
        if not is_own or has_field:
            return
        properties = {self.vector_column: self._vector(dimension)}
        path = f"/{physical}/_mapping"
        try:
            self.connection.ask("PUT", path, body={"properties": properties})
        except SetupError:
            found = self.describe()
            fields = found[1].get("mappings", {}).get("properties", {}) if found else {}
            if self.vector_column not in fields:  # else another write task was faster
                raise

    def _body(self) -> dict[str, Any]:
        """Return a copy of the mapping as the body of a request that creates an index."""
        given = dict(self.mapping or {})
        is_body = bool(given.keys() & {"mappings", "settings"})
        body = given if is_body else {"mappings": given}
        parts = ("mappings", "settings")
        return {**body, **{name: dict(body.get(name) or {}) for name in parts}}

    def _vector(self, dimension: int) -> dict[str, Any]:
        # Serverless supports only faiss; lucene needs no native libraries.
        engine = "faiss" if self.connection.is_serverless else "lucene"
        method = {"name": "hnsw", "engine": engine, "space_type": "cosinesimil"}
        return {"type": _KNN, "dimension": dimension, "method": method}
