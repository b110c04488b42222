"""Write a file of a run to its state in the background, while books are processed."""

from __future__ import annotations

import json
import logging
import threading
from typing import Any

from raypipe.state.store import State

log = logging.getLogger(__name__)

_LAST_WRITE_S = 5.0


class StateFile:
    """A JSON file that is written again and again, in a thread.

    A slow state delays neither a stop nor a progress line: while a write is in progress, the next
    is left out. A write that fails is not reported: the run itself reports a broken state.

    Args:
        state: The state.
        name: Name of the file in the state.
    """

    def __init__(self, state: State, name: str) -> None:
        self._state = state
        self._name = name
        self._writing: threading.Thread | None = None

    def write(self, values: dict[str, Any], *, is_last: bool, indent: int | None = 1) -> bool:
        """Write values in place of the present content.

        Args:
            values: The JSON object.
            is_last: Whether to wait for this write, and for the write before; up to 5 s each.
            indent: Spaces of indentation; None for one line.

        Returns:
            Whether a write has begun.
        """
        if self._writing is not None:
            self._writing.join(_LAST_WRITE_S if is_last else 0)
            if self._writing.is_alive():
                return False
        data = json.dumps(values, indent=indent).encode()
        self._writing = threading.Thread(target=self._put, args=(data,), daemon=True)
        self._writing.start()
        if is_last:
            self._writing.join(_LAST_WRITE_S)
        return True

    def _put(self, data: bytes) -> None:
        try:
            self._state.put(self._name, data, durable=False)
        except Exception as error:
            log.debug("%s cannot be written: %s", self._name, error)
