"""Process batches of books: read, clean and summarize, then embed.

A stage is total: each book that goes in comes out as a document, as a failure, or as left for
another run. A stage raises only what would fail every book; such errors are found before the first
book.
"""

from raypipe.run.stages.arguments import embed_arguments, summarize_arguments
from raypipe.run.stages.embed import Embed
from raypipe.run.stages.summarize import Summarize

__all__ = [
    "Embed",
    "Summarize",
    "embed_arguments",
    "summarize_arguments",
]
