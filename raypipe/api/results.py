"""The results of the Python API: what the commands print with `output=json`, typed and frozen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raypipe.core.exit_codes import OK
from raypipe.lifecycle.replacement import Replacement
from raypipe.run.estimate import UpgradeEstimate
from raypipe.run.request_estimate import RequestEstimate


@dataclass(frozen=True)
class RunResult:
    """A finished run. The books balance: listed = skipped + indexed + failed + left.

    A run without an index counts `finished` instead of `indexed`.

    Attributes:
        run_id: Id of the run; `runs/<run_id>/run.json` in the state has these numbers.
        run_seq: Number of the run in its state.
        status: `done`, or `stopped` with books left.
        exit_code: Exit code of the command: 0, 3 for failed or unseen books, 4 for a stopped run.
        reason: Why the run stopped.
        listed: Books at the source.
        skipped: Books that an earlier run processed, and known failures.
        indexed: Books that the index acknowledged.
        finished: Books with a finished document, in a run without an index.
        failed: Books that failed; see `raypipe.failures`.
        left: Books that are left for the next run, because of a limit or a stop.
        known_failures: Books that were skipped because they failed before.
        degraded: Books that were indexed with a fallback's summary.
        removed: Books that were deleted from the index because they are gone from the source.
        model_calls: Calls of models that were paid in this run.
        cached_calls: Answers of models that were paid before.
        input_tokens: Tokens of the requests.
        output_tokens: Tokens of the answers.
        usd: Dollars.
        seconds: How long the run took.
        started_at: When it started, ISO 8601, UTC.
        index: The physical index that was written; '' without an index.
        served: The physical index that is searched after the run.
        lacking: Books of the served index that the new index lacks.
        generation: Id of the physical index.
        stage_seconds: Seconds of each step; those of `*_busy` are summed over workers.
        versions: Versions of raypipe, Python and libraries.
        renames_waiting: Documents that keep their old key until the new key is indexed.
        unlisted_folders: Folders of the source that could not be listed.
        unseen: Finished books in these folders; they stay in the index.
        models: What each model used: model, service_tier, calls, cached_calls, input_tokens,
            output_tokens and usd.
        not_taken: Number of listed keys that are no books, by ending or reason.
        state: The state of the run: a folder or `s3://bucket/prefix`.
    """

    run_id: str
    run_seq: int
    status: str
    exit_code: int
    reason: str
    listed: int
    skipped: int
    indexed: int
    finished: int
    failed: int
    left: int
    known_failures: int
    degraded: int
    removed: int
    model_calls: int
    cached_calls: int
    input_tokens: int
    output_tokens: int
    usd: float
    seconds: float
    started_at: str
    index: str
    served: str
    lacking: int
    generation: str
    stage_seconds: Mapping[str, float]
    versions: Mapping[str, str]
    renames_waiting: int
    unlisted_folders: int
    unseen: int
    models: Sequence[Mapping[str, Any]]
    not_taken: Mapping[str, int]
    state: str

    @property
    def ok(self) -> bool:
        """Whether no book failed and the run was not stopped."""
        return self.exit_code == OK


@dataclass(frozen=True)
class PlanResult:
    """What a run would do and cost.

    Attributes:
        listed: Books at the source.
        new: Books to read that this state has never seen.
        renamed: Books to read under a new key; no model calls.
        changed: Books to read because they changed.
        again: Books to read again.
        ready: Finished books that are only indexed.
        done: Processed books; the run skips them.
        known_failures: Books that failed before; the run skips them.
        over_limit: Books that the run leaves because of `limit`.
        removed: Books that are gone from the source and would be deleted from the index.
        too_many: Whether these are so many that the run would stop.
        summarizer: Name of the summarizer.
        model: Model id or inference profile id; '' if no model is called.
        sampled: Number of books that were read for the estimate.
        unfit: Number of these that would fail.
        calls: Model calls.
        input_tokens: Tokens of the requests.
        output_tokens: Tokens of the answers.
        usd: Dollars; None if the price table lacks the model or its service tier.
        hours: Hours at the quota; None if no quota is given.
        prices: Date of the price table.
        replaces: The index of other parts that the run would replace; None for none.
        may_replace: Whether the run may replace it.
        upgrade: What `upgrade=true` would cost; None if no document is older.
        requests: Requests to S3 and their dollars; None if neither books nor state are on S3.
        unlisted_folders: Folders of the source that could not be listed.
        unseen: Finished books in these folders; the run keeps them.
        service_tier: Service tier of the model calls; '' if no model is called.
        not_taken: Number of listed keys that are no books, by ending or reason.
    """

    listed: int
    new: int
    renamed: int
    changed: int
    again: int
    ready: int
    done: int
    known_failures: int
    over_limit: int
    removed: int
    too_many: bool
    summarizer: str
    model: str
    sampled: int
    unfit: int
    calls: int
    input_tokens: int
    output_tokens: int
    usd: float | None
    hours: float | None
    prices: str
    replaces: Replacement | None
    may_replace: bool
    upgrade: UpgradeEstimate | None
    requests: RequestEstimate | None
    unlisted_folders: int
    unseen: int
    service_tier: str
    not_taken: Mapping[str, int]


@dataclass(frozen=True)
class LegacyComparison:
    """The comparison with the old results of `against`; books are given by key.

    Attributes:
        good: Number of old results with a new document.
        lacking: Books without a finished document.
        unlike: Books whose old summary fits other books better.
        unlisted: Results without a book at the source.
        titles: Books whose title or author differs.
        unreadable: Files that could not be read, with the reason.
        new: Number of finished documents without an old result.
        exit_code: 0, or 1 if there are differences.
    """

    good: int
    lacking: tuple[str, ...]
    unlike: tuple[str, ...]
    unlisted: tuple[str, ...]
    titles: tuple[str, ...]
    unreadable: tuple[str, ...]
    new: int
    exit_code: int


@dataclass(frozen=True)
class VerifyResult:
    """The listing, the ledger and the index, compared book by book.

    Listed books are given by key, all others by id.

    Attributes:
        good: Number of books for which all three agree.
        missing: Books in the ledger, but not in the index.
        differing: Books of which the index has another version than the ledger.
        unledgered: Books in the index, but not in the ledger.
        failed: Books whose last attempt failed.
        pending: New or changed books.
        removed: Books in the index that are no longer listed.
        unseen: Books in the index, in folders that could not be listed.
        index: The physical index.
        exit_code: Exit code of the command: 0, 1 for differences, 3 for failed or unseen books,
            4 for pending books.
        against: The comparison with old results; None without `against`.
    """

    good: int
    missing: tuple[str, ...]
    differing: tuple[str, ...]
    unledgered: tuple[str, ...]
    failed: tuple[str, ...]
    pending: tuple[str, ...]
    removed: tuple[str, ...]
    unseen: tuple[str, ...]
    index: str
    exit_code: int
    against: LegacyComparison | None = None

    @property
    def ok(self) -> bool:
        """Whether all books agree."""
        return self.exit_code == OK
