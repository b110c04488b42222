"""What a run would do and cost, before it begins: of the new books a sample is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from raypipe.core.book import Book, BookError
from raypipe.lifecycle.deletions import find_deleted
from raypipe.opensearch.index import IndexAlias
from raypipe.quota.prices import Price
from raypipe.run.job import Job
from raypipe.run.pending import list_source, plan_from_ledger
from raypipe.summarizers.protocol import CallEstimator, EstimatedCall
from raypipe.text import CleanText

_READERS = 8
_COUNTED = 6
"""Sampled books of which the server is asked to count the tokens, where it does so for nothing."""
_COUNTED_CHARS = 20_000


@dataclass
class RunEstimate:
    """A run, before it begins.

    Args:
        listed: Books of the listing.
        new: To be read, never seen before by this state.
        renamed: To be read, with the ETag of a finished book that is gone: no model call.
        changed: To be read, since they changed after they were finished or processed.
        again: To be read again: failures that may pass, or all with `checkpoint=none`.
        ready: Finished or summarized: no GET.
        done: Processed; nothing is done for them.
        known_failures: Lasting failures, left alone.
        over_limit: Left because of `limit`.
        removed: Finished books that are gone from the source, and to be deleted for that.
        too_many: Whether that is more than `max_delete_fraction`: a run asks first.
        summarizer: Its name.
        model: The model's id as the prices know it; empty = no model is called.
        sampled: Books that were read for the estimate.
        unfit: Sampled books that would fail.
        calls: Model calls.
        input_tokens: Their tokens.
        output_tokens: Of their answers.
        usd: Dollars; None = the price table does not have the model.
        hours: At the quota; None = no quota is given.
        prices: Date of the price table.
    """

    listed: int = 0
    new: int = 0
    renamed: int = 0
    changed: int = 0
    again: int = 0
    ready: int = 0
    done: int = 0
    known_failures: int = 0
    over_limit: int = 0
    removed: int = 0
    too_many: bool = False
    summarizer: str = ""
    model: str = ""
    sampled: int = 0
    unfit: int = 0
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float | None = 0.0
    hours: float | None = None
    prices: str = ""


def estimate_run(job: Job, sample: int = 50) -> RunEstimate:
    """Return what a run of this job would do; the state and the index stay as they are.

    Args:
        job: The job.
        sample: Most books that are read.

    Raises:
        SetupError: The books cannot be listed, or the server cannot be used.
    """
    generation = None
    if job.index is not None:
        handle = None if job.purge else IndexAlias(job.index).find()
        generation = handle.ref.generation if handle else ""
    books = list_source(job)
    gone = find_deleted(job, books)
    plan = plan_from_ledger(job, books, generation)
    history = job.ledger.checkpoint.history()
    seen = job.ledger.documents.versions() | set(
        zip(history["book_id"].to_pylist(), history["etag"].to_pylist(), strict=True)
    )
    ids = {book_id for book_id, _ in seen}
    old = [book for book in plan.new if book.book_id in ids]
    same = sum((book.book_id, book.etag) in seen for book in old)
    told = RunEstimate(
        listed=len(plan.listed),
        changed=len(old) - same,
        again=same + sum(book.attempts > 0 and book.book_id not in ids for book in plan.new),
        ready=len(plan.ready),
        done=len(plan.processed),
        known_failures=len(plan.known_failures),
        over_limit=len(plan.over_limit),
        renamed=gone.renamed,
        removed=gone.removed,
        too_many=gone.too_many(job),
        summarizer=job.summarizer.name,
        prices=job.prices.date,
    )
    told.renamed = min(told.renamed, len(plan.new) - told.changed - told.again)
    told.new = len(plan.new) - told.changed - told.again - told.renamed
    model, estimator = job.summarizer.paid_model, job.summarizer.call_estimator
    if model is not None and estimator is not None:
        told.model = model.base_model
        _cost(job, estimator, plan.new, sample, told)
    return told


def _cost(
    job: Job, estimator: CallEstimator, books: Sequence[Book], sample: int, told: RunEstimate
) -> None:
    """Fill in calls, tokens, dollars and hours."""
    strata = list(_strata(books, sample))
    with ThreadPoolExecutor(_READERS) as pool:
        texts = list(pool.map(lambda stratum: _read(job, stratum[0]), strata))
    told.sampled = len(texts)
    told.unfit = sum(text is None for text in texts)
    factor = _counted(estimator, [text for text in texts if text is not None])
    calls = tokens = output = 0.0
    for (book, total), text in zip(strata, texts, strict=True):
        planned = [] if text is None else _planned(estimator, text)
        weight = total / max(book.size, 1)
        calls += weight * len(planned)
        tokens += weight * sum(call.input_tokens for call in planned) * factor
        output += weight * sum(call.output_tokens for call in planned)
    told.calls, told.input_tokens, told.output_tokens = round(calls), round(tokens), round(output)
    price = job.prices.of(told.model)
    told.usd = None if price is None else round(price.usd(tokens, output), 4)
    told.hours = _hours(job, told, price or Price())


def _strata(books: Sequence[Book], sample: int) -> Iterator[tuple[Book, int]]:
    """Yield a book of each of `sample` groups alike in size, with the bytes of its group."""
    by_size = sorted(books, key=lambda book: (book.size, book.book_id))
    groups = min(sample, len(by_size))
    for number in range(groups):
        some = by_size[number * len(by_size) // groups : (number + 1) * len(by_size) // groups]
        yield some[len(some) // 2], sum(book.size for book in some)


def _read(job: Job, book: Book) -> CleanText | None:
    try:
        return job.cleaner.clean(job.store.read(book), book.key)
    except BookError:
        return None


def _planned(estimator: CallEstimator, text: CleanText) -> Sequence[EstimatedCall]:
    try:
        return estimator.calls_of(text)
    except BookError:
        return []


def _counted(estimator: CallEstimator, texts: Sequence[CleanText]) -> float:
    """Return how many times as many tokens the server counts as the summarizer estimates."""
    counted = estimated = 0.0
    for text in texts[:: max(1, len(texts) // _COUNTED)][:_COUNTED]:
        middle = len(text.text) // 2
        piece = text.text[middle : middle + _COUNTED_CHARS]
        tokens = estimator.count_tokens(piece)
        if tokens is None:
            return 1.0
        counted += tokens
        estimated += len(piece.encode()) / estimator.bytes_per_token
    return counted / estimated if estimated else 1.0


def _hours(job: Job, told: RunEstimate, price: Price) -> float | None:
    """Return the hours that the quota takes at least; the tightest limit counts."""
    quota = job.quota
    tokens = told.input_tokens + price.burndown * told.output_tokens
    limits = [
        (tokens, quota.tokens_per_minute, 60.0),
        (told.calls, quota.requests_per_minute, 60.0),
        (tokens, quota.tokens_per_day, 1 / 24),
    ]
    if not quota.managed:
        return None
    hours = [need / (most * per_hour) for need, most, per_hour in limits if most]
    return round(max(hours), 4) if hours else None
