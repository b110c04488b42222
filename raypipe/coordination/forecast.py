"""Forecast the end of a run from what limits it: the quota, the model calls or the computation."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from raypipe.coordination.counts import Progress

WINDOW_S = 120.0
"""Rates are those of this many seconds, or of the last third of a longer run."""
_SAMPLES = 300
"""Samples of the counts that a window has at most."""
_PRIOR_SHARE = 0.05
"""Weight of the estimate from sizes, as a share of all books, against the calls of finished
books."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """Rates of a run, and the time that it needs to its end.

    Args:
        seconds: Seconds since the books were started.
        books_per_s: Books with a final outcome per second.
        calls_per_s: Answers of models per second, those of the cache included.
        tokens_per_minute: Input and output tokens per minute.
        estimated_calls: Expected number of calls of the whole run; None if unknown or no model.
        eta_s: Seconds to the end; None if unknown.
        limit: What limits the run: `quota`, `calls` or `compute`; '' if unknown.
    """

    seconds: float = 0.0
    books_per_s: float = 0.0
    calls_per_s: float = 0.0
    tokens_per_minute: float = 0.0
    estimated_calls: int | None = None
    eta_s: float | None = None
    limit: str = ""


@dataclass(frozen=True, slots=True)
class _Sample:
    at: float
    books: int
    calls: int
    in_flight: int
    tokens: int
    stage_bytes: dict[str, int]


@dataclass
class Forecast:
    """The size of a run, and the course of its counts.

    Args:
        books: Number of books in the run.
        size: Bytes of all books; 0 if unknown.
        estimated_calls: Model calls of all books, estimated from their sizes; None if unknown.
            It may be set during the run.
    """

    books: int
    size: int = 0
    estimated_calls: float | None = None
    _samples: deque[_Sample] = field(default_factory=deque)
    _started: float | None = None

    def update(self, progress: Progress, now: float) -> Outlook:
        """Return the outlook at a moment.

        Args:
            progress: The counts so far.
            now: The moment, in seconds of a monotonic clock.
        """
        self._started = now if self._started is None else self._started
        seconds = now - self._started
        sample = _Sample(
            now,
            progress.done + progress.failed,
            progress.calls,
            progress.in_flight,
            progress.tokens,
            {stage: size for stage, _, size in progress.stage_books},
        )
        first = self._oldest(sample, max(WINDOW_S, seconds / 3))
        passed = max(now - first.at, 1e-3)
        estimated = self._correct(progress, sample.calls)
        # A call in flight is half done on average, which matters in the first seconds.
        answered = sample.calls - first.calls + (sample.in_flight - first.in_flight) / 2
        calls_per_s = max(answered, 0) / passed
        tokens_per_minute = (sample.tokens - first.tokens) / passed * 60
        eta: float | None
        if self.books <= sample.books + progress.left:
            eta, limit = 0.0, ""
        elif estimated is not None:
            remaining = max(estimated - sample.calls, 0)
            eta, limit = _eta_of_calls(progress, remaining, calls_per_s, sample)
        else:
            eta, limit = self._eta_of_stages(first, sample, passed)
        return Outlook(
            seconds,
            (sample.books - first.books) / passed,
            calls_per_s,
            tokens_per_minute,
            estimated,
            eta,
            limit,
        )

    def _oldest(self, sample: _Sample, window: float) -> _Sample:
        """Keep a sample, and return the oldest sample of the window."""
        samples = self._samples
        if not samples or sample.at - samples[-1].at >= window / _SAMPLES:
            samples.append(sample)
        while len(samples) > 1 and sample.at - samples[0].at > window:
            samples.popleft()
        return samples[0]

    def _correct(self, progress: Progress, calls: int) -> int | None:
        """Return the expected calls of the run: the estimate, corrected by the finished books."""
        if self.estimated_calls is None:
            return None
        if self.books <= progress.done + progress.failed:
            return calls
        expected = self.estimated_calls
        share = progress.documented_bytes / self.size if self.size else 0.0
        prior = _PRIOR_SHARE * expected
        factor = (progress.documented_calls + prior) / (expected * share + prior) if prior else 1.0
        without_failed = 1 - progress.failed_bytes / self.size if self.size else 1.0
        return max(round(expected * factor * without_failed), calls + progress.in_flight)

    def _eta_of_stages(
        self, first: _Sample, sample: _Sample, passed: float
    ) -> tuple[float | None, str]:
        """Return the time that the slowest stage needs for the remaining bytes."""
        times = []
        for stage, size in sample.stage_bytes.items():
            rate = (size - first.stage_bytes.get(stage, 0)) / passed
            if rate > 0:
                times.append(max(self.size - size, 0) / rate)
        if not self.size or not times:
            rate = (sample.books - first.books) / passed
            times = [(self.books - sample.books) / rate] if rate else []
        return (max(times), "compute") if times else (None, "")


def _eta_of_calls(
    progress: Progress, remaining: int, calls_per_s: float, sample: _Sample
) -> tuple[float | None, str]:
    """Return the time that the remaining calls need at their rate and at the quota."""
    if progress.paused:
        return None, "quota"
    if calls_per_s <= 0:
        return None, ""
    by_calls = remaining / calls_per_s
    by_quota = 0.0
    if progress.tokens_per_minute and progress.model_calls:
        tokens = remaining * sample.tokens / max(sample.calls, 1)
        by_quota = tokens / progress.tokens_per_minute * 60
    return max(by_calls, by_quota), "quota" if by_quota > 0.8 * by_calls else "calls"
