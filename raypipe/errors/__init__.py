"""The errors of the Python API. Each message is one line: what happened, and what to do.

    RaypipeError
      SetupError            the call cannot be carried out; nothing was lost
        StateError          the state cannot be read or written, or there is none
        StateInUseError     another run writes to this state
        EmbeddedError       an embedded service cannot be started
      OptionError           an option is wrong, the message names it and its choices

A run in which books failed raises no error: its result counts them, and `raypipe.failures` lists
them. Parts of the user raise `BookError` for a book that they cannot process.
"""

from raypipe.core.errors import (
    BookError,
    OptionError,
    RaypipeError,
    SetupError,
    StateInUseError,
)
from raypipe.embedded import EmbeddedError
from raypipe.state.store import StateError

__all__ = [
    "BookError",
    "EmbeddedError",
    "OptionError",
    "RaypipeError",
    "SetupError",
    "StateError",
    "StateInUseError",
]
