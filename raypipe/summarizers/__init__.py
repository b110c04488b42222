"""Turn the clean text of a book into a summary."""

from raypipe.summarizers.protocol import Summarizer, Summary

__all__ = ["Summarizer", "Summary"]
