"""Where the books are: list them and read one, from S3, a folder, or finished documents."""

from raypipe.sources.protocol import BookSource

__all__ = ["BookSource"]
