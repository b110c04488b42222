"""Check a model with one small call before a run, so that a wrong setting stops it early."""

from __future__ import annotations

import logging
from collections.abc import Callable

from raypipe.core.errors import SetupError
from raypipe.core.retry import TRANSIENT_STATUS
from raypipe.models.protocol import ModelError, Question

log = logging.getLogger(__name__)

_TRANSIENT = TRANSIENT_STATUS | {424}
"""HTTP statuses after which the next call may succeed; Bedrock sends 424 for a model's own error.
"""

PROBE = Question(
    "",
    'Answer with {"ready": true} and nothing else.',
    max_tokens=16,
    schema={
        "type": "object",
        "properties": {"ready": {"type": "boolean"}},
        "required": ["ready"],
        "additionalProperties": False,
    },
    schema_name="probe",
)
"""The question of the check. It has a schema because some models refuse schemas."""


def is_transient(error: ModelError) -> bool:
    """Return whether the same call may succeed later: the server is busy, slow or failing."""
    # OpenAI also answers 429 if the account has no credit left.
    transient = error.status in _TRANSIENT and error.code != "insufficient_quota"
    return transient or error.code == "ReadTimeout"


def check_model(
    name: str, call: Callable[[], object], explain: Callable[[ModelError], str]
) -> None:
    """Make a small call; a server that is busy right now passes the check.

    Args:
        name: Name of the model.
        call: Makes the call.
        explain: Describes the error and the way out in one line.

    Raises:
        SetupError: No call could succeed.
    """
    try:
        call()
    except ModelError as error:
        if not is_transient(error):
            raise SetupError(explain(error)) from None
        log.warning("%s is reachable but did not answer the check call: %s", name, error)
