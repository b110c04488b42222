"""List what failed and why, by kind, with the ways out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from omegaconf import DictConfig

from raypipe.cli.open_state import open_recorded_state
from raypipe.config.build import read_options
from raypipe.core.errors import OptionError
from raypipe.core.exit_codes import FAILED_BOOKS, OK
from raypipe.core.printable import join_lines, to_json
from raypipe.core.suggest import did_you_mean
from raypipe.ledger.facade import Ledger
from raypipe.ledger.failure_log import (
    KINDS,
    FailedBook,
    FailuresReport,
    describe_way_out,
    explain,
    group_by_kind,
)


def main(cfg: DictConfig) -> int:
    """Print the failures; return 3 if there are any, as a run does. Errors as `carry_out`."""
    options, failed = read_options(cfg), carry_out(cfg)
    if options.output == "json":
        print(to_json(dataclasses.asdict(FailuresReport.of(failed))))
    else:
        print(_format_failures(failed, options.kind, options.limit))
    return FAILED_BOOKS if failed else OK


def carry_out(cfg: DictConfig) -> list[FailedBook]:
    """Return the failures that no later run resolved, oldest first; a run may be writing the state.

    Raises:
        OptionError: The kind is unknown, or a setting is wrong.
        SetupError: There is no state, or it cannot be read.
    """
    options = read_options(cfg)
    state, _ = open_recorded_state(cfg, options)
    failed = Ledger(state).failed_books()
    if not options.kind:
        return failed
    found = [book for book in failed if book.kind == options.kind]
    if not found and options.kind not in KINDS:
        hint = did_you_mean(options.kind, KINDS) or f"choose one of {', '.join(KINDS)}"
        raise OptionError(f"kind={options.kind}: there is no such kind of failure; {hint}")
    return found


def _format_failures(failed: Sequence[FailedBook], kind: str, limit: int | None) -> str:
    if not failed:
        return f"no failure of the kind {kind}" if kind else "no book failed"
    lines: list[str] = []
    for name, books in group_by_kind(failed):
        noun = "book" if len(books) == 1 else "books"
        lines.append(f"{name}  {len(books):,} {noun}: {explain(name)}")
        shown = books if limit is None else books[-limit:] if limit else []
        for book in reversed(shown):  # the newest first
            tries = f"attempt {book.attempts}, run {book.run_seq}"
            message = book.message.removeprefix(f"{book.key}: ")
            lines.append(f"    {book.key}  ({book.stage}, {tries}): {message}")
        if shown and len(shown) < len(books):
            rest = f"`raypipe failures {name} limit=null` lists all"
            lines.append(f"    and {len(books) - len(shown):,} more; {rest}")
    lines += ["", *describe_way_out(failed)]
    return join_lines(lines)
