"""Random operations against a plain model: deviations in as many sequences as fit into the time."""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from pathlib import Path

from report import ROOT, Report, say

SEQUENCES_PER_SEED = 10
MIN_SEQUENCES = 40


def main() -> None:
    """Run sequences of 12 operations until the time is over, or up to the first deviation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=560.0)
    parser.add_argument("--seed", type=int, default=1, help="number of the first seed")
    options = parser.parse_args()
    report = Report("random_operations")
    sys.path.insert(0, str(ROOT))
    from raypipe.embedded.services import Services
    from tests.integration.random_operations import STEPS, RandomOperations, run_sequences

    logging.disable(logging.CRITICAL)  # the messages of some hundred runs
    deviations, seed, slowest = 0, options.seed, 0.0
    with (
        tempfile.TemporaryDirectory(prefix="raypipe-bench-") as name,
        Services(Path(name) / "data") as services,
    ):
        endpoint = services.start_opensearch()
        end = time.monotonic() + options.seconds
        while not deviations and time.monotonic() + slowest < end:
            started = time.monotonic()
            try:
                run_sequences(endpoint, SEQUENCES_PER_SEED, seed)
            except Exception as error:
                deviations += 1
                notes = getattr(error, "__notes__", [])
                say("\n".join([f"seed {seed}: {type(error).__name__}: {error}", *notes]))
            slowest = max(slowest, time.monotonic() - started)
            say(f"seed {seed}: {RandomOperations.sequences} sequences of {STEPS} so far")
            seed += 1
    report.at_most("deviations", deviations, 0)
    report.at_least("sequences", RandomOperations.sequences, MIN_SEQUENCES)
    report.note("seeds", seed - options.seed)
    report.note("operations", dict(sorted(RandomOperations.operations.items())))
    report.finish()


if __name__ == "__main__":
    main()
