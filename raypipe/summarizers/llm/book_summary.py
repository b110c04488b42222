"""Make the `Summary` of a book: of the model's answer, or of the book's own sentences."""

from __future__ import annotations

from raypipe.embedders.protocol import Embedder
from raypipe.summarizers.extractive import ExtractiveSummarizer
from raypipe.summarizers.keywords import extract_keywords
from raypipe.summarizers.llm.answer_checker import UsableAnswer
from raypipe.summarizers.llm.fields import BookFields, improve_title_and_author
from raypipe.summarizers.llm.hierarchy import SpanSentences
from raypipe.summarizers.llm.quotes import SENTENCE_LOCK, Quotes
from raypipe.summarizers.protocol import Summary
from raypipe.text import CleanText

_MAX_SENTENCE_WORDS = 60


def summarize_answer(book: CleanText, answer: UsableAnswer, max_keywords: int) -> Summary:
    """Return the summary of the model's answer, with the book's own keywords after its own."""
    fields = answer.fields or BookFields(answer.text)
    own_keywords = extract_keywords(book.text, book.language, max_keywords)
    keywords: dict[str, str] = {}
    for keyword in (*fields.keywords, *own_keywords):
        keywords.setdefault(keyword.casefold(), keyword)
    title, author = improve_title_and_author(book, fields)
    return Summary(
        answer.text,
        tuple(keywords.values())[:max_keywords],
        title=title,
        author=author,
        genre=fields.genre,
        setting=fields.setting,
        period=fields.period,
        plot=fields.plot,
        themes=fields.themes,
        characters=fields.characters,
    )


def summarize_extractively(
    book: CleanText, embedder: Embedder, max_words: int, max_keywords: int
) -> Summary:
    """Return the summary that replaces an answer: typical sentences of the book."""
    summarizer = ExtractiveSummarizer(
        embedder,
        max_words=max(max_words, _MAX_SENTENCE_WORDS),
        keywords=max_keywords,
        max_sentence_words=_MAX_SENTENCE_WORDS,
    )
    with SENTENCE_LOCK:
        return summarizer.summarize(book)


def select_sentences(book: CleanText, quotes: Quotes) -> SpanSentences:
    """Return a function for sentences of a span: typical sentences, else the first words."""

    def select(start: int, end: int, max_words: int) -> str:
        quoted = quotes.select(start, end, max_words)
        return quoted or " ".join(book.text[start:end].split()[:max_words])

    return select
