"""Requests that read and change indices and aliases as a whole."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from raypipe.core.errors import SetupError
from raypipe.opensearch.connection.answers import parsing
from raypipe.opensearch.index.config import IndexConfig
from raypipe.opensearch.index.mapping import VECTOR
from raypipe.opensearch.index.metadata import IndexMetadata, read_metadata
from raypipe.opensearch.index.ref import LOADING, IndexRef, IndexSpec, write_alias

_TIME = re.compile(r"\d{14}")


@dataclass(frozen=True)
class IndexDescription:
    """One physical index as the server describes it.

    Args:
        ref: Facts that other parts need.
        mapping: Its `mappings`.
        settings: Its `settings`.
        aliases: Its `aliases`: the settings of each by its name.
    """

    ref: IndexRef
    mapping: Mapping[str, Any]
    settings: Mapping[str, Any]
    aliases: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class IndexAdmin:
    """Requests for the indices of one alias.

    Args:
        config: The alias and its server.
    """

    config: IndexConfig

    def describe(self) -> IndexDescription | None:
        """Return the index behind the alias, or of that name; None if there is none.

        Raises:
            SetupError: The server cannot be used, or the alias points to several indices.
        """
        name, label = self.config.index, self.config.label
        response = self.config.connection.ask("GET", f"/{name}", ignore=(404,))
        if response is None or response == {}:
            return None
        with parsing(self.config.connection, f"GET /{name}"):
            indices = dict(response)
            if any("data_stream" in body for body in indices.values()):
                raise SetupError(
                    f"{label} is a data stream, whose documents cannot be replaced; set another "
                    f"opensearch.index, or delete it with DELETE /_data_stream/{name}"
                )
            if len(indices) > 1:
                raise SetupError(
                    f"{label} is an alias of several indices ({', '.join(sorted(indices))}); leave "
                    "it on one of them, or set another opensearch.index"
                )
            [(physical, body)] = indices.items()
            return self._to_description(name, physical, body)

    def describe_physical(self, physical: str) -> IndexDescription:
        """Return a physical index."""
        response = self.config.connection.ask("GET", f"/{physical}")
        with parsing(self.config.connection, f"GET /{physical}"):
            [(name, body)] = response.items()
            return self._to_description(name, name, body)

    def list_physical(self) -> list[IndexRef]:
        """Return all physical indices of the alias's name, whatever alias they have.

        A closed index counts, too: its documents are still needed, and it may be opened again.
        """
        prefix = f"{self.config.index}-"
        params = {"expand_wildcards": "open,closed"}
        response = self.config.connection.ask("GET", f"/{prefix}*", params=params)
        with parsing(self.config.connection, f"GET /{prefix}*"):
            return [
                self._to_description(name, name, body).ref
                for name, body in response.items()
                if self.is_own_name(name)
            ]

    def is_own_name(self, physical: str) -> bool:
        """Whether a physical index is named `<index>-<time>`."""
        prefix = f"{self.config.index}-"
        is_prefixed = physical.startswith(prefix)
        return is_prefixed and bool(_TIME.fullmatch(physical.removeprefix(prefix)))

    def free_name(self, prefix: str) -> str:
        """Return an unused name for a new physical index, `<prefix>-<time>`.

        Another run may take the name of the same second, and may have deleted it again.
        """
        moment = datetime.now(UTC)
        while True:
            physical = f"{prefix}-{moment:%Y%m%d%H%M%S}"
            path = f"/{physical}/_settings"
            if not self.config.connection.ask("GET", path, ignore=(404,)):
                return physical
            moment += timedelta(seconds=1)

    def create(self, physical: str, body: Mapping[str, Any]) -> bool:
        """Create an index; return whether its shards have started.

        Raises:
            SetupError: The server refuses it.
        """
        response = self.config.connection.ask("PUT", f"/{physical}", body=body)
        with parsing(self.config.connection, f"PUT /{physical}"):
            return bool(response.get("shards_acknowledged", True))

    def delete(self, physical: str) -> None:
        """Delete a physical index; a missing index is no error.

        Raises:
            SetupError: The index has an alias that raypipe did not give it, or cannot be deleted.
        """
        path = f"/{physical}"
        response = self.config.connection.ask("GET", f"{path}/_alias", ignore=(404,))
        with parsing(self.config.connection, f"GET {path}/_alias"):
            bodies = {} if response is None else dict(response)
            aliases = {name: dict(body.get("aliases", {})) for name, body in bodies.items()}
        for name, own in aliases.items():
            if foreign := self.foreign_aliases(name, own):
                raise SetupError(
                    f"{name} is not deleted: it has the alias {', '.join(foreign)}, which raypipe "
                    "did not make; remove the alias first, or move it to another index"
                )
        self.config.connection.ask("DELETE", path, ignore=(404,))

    def foreign_aliases(self, physical: str, aliases: Iterable[str]) -> list[str]:
        """Return the aliases of an index that raypipe did not give it."""
        index = self.config.index
        served = index.removesuffix(LOADING)
        own = {index, served, f"{served}{LOADING}", write_alias(physical)}
        return sorted(set(aliases) - own)

    def write_metadata(self, description: IndexDescription, metadata: IndexMetadata) -> None:
        """Write raypipe's metadata; keep what others store in `_meta`, which is replaced whole."""
        meta = {**description.mapping.get("_meta", {}), "raypipe": metadata.as_dict()}
        path = f"/{description.ref.physical}/_mapping"
        self.config.connection.ask("PUT", path, body={"_meta": meta})

    def add_fields(self, physical: str, fields: Mapping[str, Any]) -> None:
        """Add fields to the mapping of an index."""
        path = f"/{physical}/_mapping"
        self.config.connection.ask("PUT", path, body={"properties": dict(fields)})

    def write_settings(self, physical: str, settings: Mapping[str, Any]) -> None:
        """Change settings of an index."""
        body = {"index": dict(settings)}
        self.config.connection.ask("PUT", f"/{physical}/_settings", body=body)

    def ensure_write_alias(self, physical: str, aliases: Mapping[str, Any] | None = None) -> None:
        """Add the private alias of an index, which older versions of raypipe did not create.

        An alias that was also given to another index writes to its write index, so the index is
        made that, too.

        Args:
            physical: Name of the index.
            aliases: Aliases that it is known to have, with their settings.

        Raises:
            SetupError: The alias is the write alias of another index.
        """
        alias = write_alias(physical)
        if not (aliases or {}).get(alias, {}).get("is_write_index"):
            add = {"index": physical, "alias": alias, "is_write_index": True}
            try:
                self.update_aliases([{"add": add}])
            except SetupError:
                holders = self.config.connection.ask("GET", f"/_alias/{alias}", ignore=(404,))
                with parsing(self.config.connection, f"GET /_alias/{alias}"):
                    others = sorted(dict(holders or {}).keys() - {physical})
                if others:
                    raise SetupError(
                        f"{self.config.label}: the alias {alias}, through which raypipe writes "
                        f"{physical}, belongs to {', '.join(others)}; remove it there"
                    ) from None
                raise

    def update_aliases(self, actions: Sequence[Mapping[str, Any]]) -> None:
        """Change aliases atomically."""
        self.config.connection.ask("POST", "/_aliases", body={"actions": list(actions)})

    def _to_description(
        self, alias: str, physical: str, body: Mapping[str, Any]
    ) -> IndexDescription:
        """Return an index from a response.

        Args:
            alias: Name that the configuration gives the index.
            physical: Name of the index.
            body: Its aliases, mappings and settings, as in the response to `GET /<physical>`.
        """
        mapping, settings, aliases = (
            _object(body.get(name, {})) for name in ("mappings", "settings", "aliases")
        )
        properties = _object(mapping.get("properties", {}))
        parts = (mapping.get("_meta", {}), settings.get("index", {}))
        for part in (*parts, *aliases.values(), *properties.values()):
            _object(part)
        dimension = int(properties.get(VECTOR, {}).get("dimension", 0))
        ref = IndexRef(
            alias=alias,
            physical=physical,
            generation="",
            endpoint=self.config.connection.endpoint,
            content=IndexSpec(dimension),
            aliases=tuple(sorted(aliases)),
            closed=_is_closed(settings),
        )
        metadata = read_metadata(mapping)
        if metadata is not None:
            content = IndexSpec(
                dimension,
                metadata.embedder,
                metadata.state,
                metadata.recipe,
                metadata.summarizer,
                metadata.embedder_name,
            )
            ref = replace(
                ref,
                generation=metadata.generation,
                content=content,
                last_served=metadata.last_served,
            )
        return IndexDescription(ref, mapping, settings, aliases)


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("not a JSON object")
    return value


def _is_closed(settings: Mapping[str, Any]) -> bool:
    # The only sign of a closed index in the response to `GET /<index>`.
    return str(settings.get("index", {}).get("verified_before_close")).lower() == "true"
