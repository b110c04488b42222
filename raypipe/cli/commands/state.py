"""Copy the state, for a backup or to restore it."""

from __future__ import annotations

import dataclasses

from omegaconf import DictConfig

from raypipe.cli.job_factory import find_connection
from raypipe.config.build import read_options
from raypipe.core.errors import OptionError
from raypipe.core.exit_codes import OK
from raypipe.core.printable import join_lines, to_json
from raypipe.core.units import format_duration
from raypipe.ledger.state_copy import CopyResult, StateCopy
from raypipe.state.factory import open_state

_USAGE = "write `raypipe state copy FROM TO`; each is a folder or s3://bucket/prefix"


def main(cfg: DictConfig) -> int:
    """Copy the state and print what was copied.

    Raises:
        OptionError: An argument is missing or wrong.
        SetupError: There is no state to copy, or the target holds something else or is in use.
    """
    options = read_options(cfg)
    if options.action != "copy" or not options.source or not options.target:
        raise OptionError(_USAGE)
    connection = find_connection(cfg)
    try:
        source = open_state(options.source, connection)
        target = open_state(options.target, connection)
    except ValueError:
        raise OptionError(_USAGE) from None
    result = StateCopy(source, target).run()
    print(_format_result(result, source.uri, target.uri, options.output))
    return OK


def _format_result(result: CopyResult, source: str, target: str, output: str) -> str:
    """Return the result as text or JSON.

    Args:
        result: What was copied.
        source: URI of the state.
        target: URI of the copy.
        output: `text` or `json`.
    """
    if output == "json":
        return to_json({**dataclasses.asdict(result), "source": source, "target": target})
    lines = [
        f"copied  {result.copied:,} objects, {result.bytes / 1e6:,.1f} MB, in "
        f"{format_duration(result.seconds)}; {result.present:,} were there, {result.removed:,} "
        "removed",
        f"copy    {target}, up to run {result.run_seq}; `state.uri={target}` uses it",
    ]
    return join_lines(lines)
