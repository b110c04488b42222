"""From a book's bytes to clean text, its metadata and its sentences.

Each decision is a module of its own: `decode`, `boilerplate`, `normalize`, `metadata`,
`language`, `sentences`; `cleaner` puts them in a row.
"""

from raypipe.text.cleaner import CleanText, TextCleaner
from raypipe.text.sentences import count_words, sentences

__all__ = ["CleanText", "TextCleaner", "count_words", "sentences"]
