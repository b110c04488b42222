"""The index that bulk requests write to."""

from __future__ import annotations

from dataclasses import dataclass

from raypipe.opensearch.bulk.error_policy import SinkError, abort_error
from raypipe.opensearch.connection.client import Connection
from raypipe.opensearch.connection.errors import reason_of, status_of


@dataclass(frozen=True)
class BulkTarget:
    """Address of an index, and the limits of bulk requests to it.

    Args:
        connection: Connection to the server.
        alias: Name of the index in messages, and in requests if `require_alias`.
        physical: Name of the physical index.
        require_alias: Whether to write through the alias, so that a deleted index is not created
            by a write.
        max_bytes: Most uncompressed bytes in a request; a larger document is sent alone.
        max_docs: Most documents in a request.
        retry_budget_s: Seconds in which documents are sent again to a server in trouble.
    """

    connection: Connection
    alias: str
    physical: str
    require_alias: bool
    max_bytes: int
    max_docs: int
    retry_budget_s: float

    @property
    def name(self) -> str:
        """Return the name to write to."""
        return self.alias if self.require_alias else self.physical

    @property
    def endpoint(self) -> str:
        """Return the URL of the server, for messages."""
        return self.connection.endpoint

    def abort_error(self, status: int, reason: str) -> SinkError:
        """Return the exception for an index that accepts no documents."""
        return abort_error(self.endpoint, self.alias, status, reason)

    def abort_error_for(self, error: Exception) -> SinkError:
        """Return the exception for an index that accepts no documents, from a request's error."""
        return self.abort_error(status_of(error), reason_of(error))
