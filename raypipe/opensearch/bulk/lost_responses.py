"""What became of a bulk request whose answer was lost, on a server that takes no ids."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from raypipe.opensearch.bulk import error_policy as policy
from raypipe.opensearch.bulk.error_policy import Action
from raypipe.opensearch.bulk.retry_budget import RetryBudget
from raypipe.opensearch.index.config import IndexConfig, IndexRef
from raypipe.opensearch.index.serverless import LOOK_S, arrived

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LostResponseResolver:
    """Looks what arrived.

    Args:
        index: Where.
        handle: The index.
        patience: The writer's.
    """

    index: IndexConfig
    handle: IndexRef
    patience: RetryBudget

    def arrived(self, write_id: str, wanted: set[str], trouble: str) -> set[str]:
        """Return which books of a request a search shows, at the latest after `visible_s`.

        A search that fails says nothing: it is made again for as long as documents may take.

        Raises:
            SinkError: The index is gone, or refuses these credentials.
        """
        from opensearchpy.exceptions import OpenSearchException

        message = "OpenSearch at %s: looking what became of %d documents (%s)"
        log.info(message, self.handle.endpoint, len(wanted), trouble)
        patience = self.patience
        began, there = patience.clock(), set[str]()
        while not patience.is_over():
            waited = patience.clock() - began
            try:
                there = arrived(self.index, self.handle, write_id)
                late = waited >= self.index.visible_s
            except OpenSearchException as error:
                self._check(error)
                late = waited >= patience.budget_s()
            if late or wanted <= there:
                break
            patience.rest(LOOK_S)
        return there

    def _check(self, error: Exception) -> None:
        action = policy.request_action(error)
        if action is Action.RENEW:
            self.index.connection.renew()
        elif action is Action.ABORT:
            raise policy.abort_error(
                self.handle.endpoint,
                self.handle.alias,
                policy.status_of(error),
                policy.reason_of(error),
            ) from None
