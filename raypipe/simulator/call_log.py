"""Write one JSON line a call to a file."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, TextIO

import orjson

from raypipe.simulator.calls import SimulatedAnswer, SimulatedCall
from raypipe.simulator.prompts import split_prompt

_TEXT_CHARS = 40
"""Characters of the text to work on, to tell the calls apart."""


@dataclass(frozen=True)
class ReceivedCall:
    """A call as it was received.

    Args:
        sent_at: Arrival, in seconds since the epoch.
        call: The call; None if the request was invalid.
        prompt: Hash of operation, model and request body; empty for an invalid request.
    """

    sent_at: float
    call: SimulatedCall | None = None
    prompt: bytes = b""


class CallLog:
    """Writes calls to a file.

    Args:
        file: Where the lines go; None to write nothing.
    """

    def __init__(self, file: TextIO | None = None) -> None:
        self._file = file

    def write(
        self,
        received: ReceivedCall,
        status: int,
        fault: str,
        answer: SimulatedAnswer | None = None,
    ) -> None:
        """Write the line of a call.

        Args:
            received: The call.
            status: HTTP status; 0 if no response was sent.
            fault: Name of the fault or kind of the error; '' for none.
            answer: The answer; None for an error.
        """
        if self._file is None:
            return
        call = received.call
        line: dict[str, Any] = {
            "prompt": received.prompt.hex(),
            "text": split_prompt(call.prompt).body[:_TEXT_CHARS] if call else "",
            "operation": call.operation if call else "",
            "model": call.requested_model if call else "",
            "tier": call.tier if call else "",
            "sent_at": round(received.sent_at, 4),
            "answered_at": round(time.time(), 4),
            "status": status,
            "fault": fault,
            "input_tokens": call.input_tokens if call else 0,
            "max_tokens": call.max_tokens if call else 0,
            "output_tokens": answer.output_tokens if answer else 0,
        }
        self._file.write(orjson.dumps(line).decode() + "\n")
