"""Summarize a book with a chat model: chunks, merges, one structured answer."""
