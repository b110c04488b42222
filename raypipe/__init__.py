"""raypipe turns a bucket of books into a search index and never pays for a book twice."""

__version__ = "0.1.0"

__all__ = ["__version__"]
