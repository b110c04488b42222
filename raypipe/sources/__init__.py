"""Where books come from: a source lists the books and reads one."""

from raypipe.sources.protocol import BookSource

__all__ = ["BookSource"]
