"""Find out which documents of a bulk request with a lost response were written.

For servers that make the ids themselves, where repeating a write would duplicate documents.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass

from raypipe.opensearch.bulk.error_policy import Action, request_action
from raypipe.opensearch.bulk.retry_budget import RetryBudget
from raypipe.opensearch.bulk.target import BulkTarget

log = logging.getLogger(__name__)

VISIBILITY_POLL_S = 2.0
"""Interval of searches for documents that were just written."""


@dataclass(frozen=True)
class LostResponseResolver:
    """Search for the documents of a request until they are visible.

    Args:
        target: The index.
        search: Returns the ids that a search finds for a request id; raises opensearch-py's
            exceptions.
        visible_s: Seconds after which a search finds every written document.
    """

    target: BulkTarget
    search: Callable[[str], set[str]]
    visible_s: float

    def find_written(
        self, request_id: str, ids: Collection[str], reason: str, budget: RetryBudget
    ) -> set[str]:
        """Return the documents that a search finds, at the latest after `visible_s`.

        A failed search proves nothing, and is repeated for as long as the budget allows.

        Raises:
            SinkError: The index is deleted, or refuses these credentials.
        """
        from opensearchpy.exceptions import OpenSearchException

        message = "OpenSearch at %s: searching for %d documents with unknown outcome (%s)"
        log.info(message, self.target.endpoint, len(ids), reason)
        started, written = budget.clock(), set[str]()
        while not budget.is_stopped():
            waited = budget.clock() - started
            try:
                written = self.search(request_id)
                is_over = waited >= self.visible_s
            except OpenSearchException as error:
                self._check(error)
                is_over = waited >= budget.limit_s()
            if is_over or written.issuperset(ids):
                break
            budget.sleep(VISIBILITY_POLL_S)
        return written

    def _check(self, error: Exception) -> None:
        action = request_action(error)
        if action is Action.RENEW:
            self.target.connection.renew()
        elif action is Action.ABORT:
            raise self.target.abort_error_for(error) from None
