"""The index that bulk requests write to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raypipe.opensearch.bulk.error_policy import SinkError, abort_error
from raypipe.opensearch.bulk.obstacles import find_obstacle
from raypipe.opensearch.connection.client import Connection
from raypipe.opensearch.connection.errors import cause_of, describe_cause, reason_of, status_of
from raypipe.opensearch.connection.known_causes import explain_cause


@dataclass(frozen=True)
class BulkTarget:
    """Address of an index, and the limits of bulk requests to it.

    Args:
        connection: Connection to the server.
        name: Alias or index to write to.
        label: Name of the index in messages.
        physical: Name of the physical index that must have the documents; '' where any index
            behind the alias may have them.
        max_bytes: Most uncompressed bytes in a request; a larger document is sent alone.
        max_docs: Most documents in a request.
        retry_budget_s: Seconds in which documents are sent again to a server in trouble.
        require_alias: Whether requests require that `name` is an alias, so that a deleted index
            is not created by a write.
    """

    connection: Connection
    name: str
    label: str
    physical: str
    max_bytes: int
    max_docs: int
    retry_budget_s: float
    require_alias: bool = True

    @property
    def endpoint(self) -> str:
        """Return the URL of the server, for messages."""
        return self.connection.endpoint

    def abort_error(self, status: int, reason: str, obstacle: str = "") -> SinkError:
        """Return the exception for an index that accepts no documents.

        Args:
            status: HTTP status, or 0.
            reason: The server's reason without document content; may be empty.
            obstacle: Cause and fix, see `find_obstacle`; '' to explain the status.
        """
        names = {"index": self.physical or self.name, "alias": self.name}
        return abort_error(self.endpoint, self.label, status, reason, obstacle.format(**names))

    def abort_error_for(self, error: Exception) -> SinkError:
        """Return the exception for an index that accepts no documents, from a request's error."""
        return self.abort_error(status_of(error), reason_of(error), _explain(cause_of(error)))

    def abort_error_of(self, result: Mapping[str, Any]) -> SinkError:
        """Return the exception for an index that accepts no documents, from an item's result."""
        cause = result.get("error") or {}
        return self.abort_error(result["status"], describe_cause(cause), _explain(cause))


def _explain(cause: Any) -> str:
    """Return cause and fix of an error, with fields for the names of the index; '' if unknown."""
    return find_obstacle(cause) or explain_cause(cause).replace("{", "{{").replace("}", "}}")
