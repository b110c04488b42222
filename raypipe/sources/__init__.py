"""Where books come from: a source lists the books and reads one."""

from raypipe.sources.protocol import BookStore

__all__ = ["BookStore"]
