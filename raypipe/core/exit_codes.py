"""Exit codes of the command line: a public interface, see docs/reference/exit_codes.md."""

from __future__ import annotations

OK = 0
ERROR = 1
"""The command could not be carried out."""
WRONG_OPTIONS = 2
FAILED_BOOKS = 3
"""Finished, but some books failed."""
STOPPED = 4
"""Stopped with books left for another run."""
