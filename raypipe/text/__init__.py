"""From a book's bytes to clean text, its metadata and its sentences.

Each decision is a module of its own: `decode`, `mojibake`, `normalize`, `boilerplate`, `notes`,
`contents`, `metadata`, `language`, `chapters`, `sentences`; `cleaner` puts them in a row.
"""

from raypipe.text.chapters import Chapter, find_chapters
from raypipe.text.cleaner import CleanText, TextCleaner
from raypipe.text.sentences import count_words, sentences

__all__ = ["Chapter", "CleanText", "TextCleaner", "count_words", "find_chapters", "sentences"]
