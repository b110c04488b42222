"""What goes wrong with a model, told to a person without what was asked of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from raypipe.core.errors import SetupError
from raypipe.core.retry import TRANSIENT_STATUS
from raypipe.models.protocol import ModelError, Question

log = logging.getLogger(__name__)

_MOST_CHARS = 300
_QUOTED = 30
"""Characters in a row that a message may share with what was sent, as "max_tokens" does."""
_PASSING = TRANSIENT_STATUS | {424}
"""HTTP statuses after which the next call may succeed; 424 is Bedrock's for a model's own error."""


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
"""What a chat model is asked before a run; with a schema, for some models refuse it."""


def safe_message(message: str, sent: Sequence[str] = (), secrets: Sequence[str] = ()) -> str:
    """Return a server's message in one short line, without secrets and without what was sent.

    Some servers quote the request that they refuse, and with it a book's text; the message ends
    where it begins to.

    Args:
        message: What the server said.
        sent: Texts of the request.
        secrets: What must not stand in it, such as a key.
    """
    for secret in filter(None, secrets):
        message = message.replace(secret, "***")
    line = " ".join(message.replace("\\n", " ").split())[:_MOST_CHARS]
    texts = [" ".join(text.split()) for text in sent]
    for start in range(len(line) - _QUOTED + 1):
        if any(line[start : start + _QUOTED] in text for text in texts):
            return line[:start].rstrip() + " ..."
    return line


def is_passing(error: ModelError) -> bool:
    """Tell whether the same call may succeed later: the server is busy, slow or ill."""
    # OpenAI says 429 also where there is no money left.
    passing = error.status in _PASSING and error.code != "insufficient_quota"
    return passing or error.code == "ReadTimeout"


def check(name: str, call: Callable[[], object], explain: Callable[[ModelError], str]) -> None:
    """Make a small call; a server that is only busy now has passed.

    Args:
        name: The model.
        call: Makes the call.
        explain: Says in one line what is wrong, and the way out.

    Raises:
        SetupError: No call could succeed.
    """
    try:
        call()
    except ModelError as error:
        if not is_passing(error):
            raise SetupError(explain(error)) from None
        log.warning("%s is there, but did not answer now (%s)", name, error)
