"""Summarize books: `extractive` and `lead` run locally, `llm` asks a chat model."""

from raypipe.summarizers.protocol import Summarizer, Summary

__all__ = ["Summarizer", "Summary"]
