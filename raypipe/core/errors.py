"""What stops a whole command, as one line for the person who typed it."""

from __future__ import annotations


class SetupError(Exception):
    """The command could not be done: what happened, and the way out, in one line."""


class OptionError(Exception):
    """A person's option is wrong: which one, and its choices, in one line."""
